"""`train dpo`: makes preferred answers likelier, from preferences, with one model in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.figure import Figure, Table
from gristmill.stages.stage import Inputs, Output, Slot, local, stage
from gristmill.stages.tuning import TuningConfig

if TYPE_CHECKING:
    from gristmill.align.dpo_evaluation import DpoEvaluation


class TrainDpoConfig(TuningConfig):
    """What is learnt, how long and how fast; see also the settings that all tuning shares."""

    lr: float = Field(3e-4, gt=0)
    """Of AdamW, for all weights (or for the adapters, which want some ten times more). Tuned at 3
    million parameters; 5e-7 is usual at billions."""
    epochs: float = Field(1.0, gt=0)
    batch: int = Field(16, ge=1)
    """Pairs in a step."""
    beta: float = Field(0.3, gt=0)
    """How strongly the policy is held to its reference. Its meaning depends on `form`. Tuned at 3
    million parameters, where 0.1, usual for large models, costs the chosen answers more."""
    form: Literal["dpo", "ipo", "cdpo", "length_normalised"] = "dpo"
    """`ipo`: a fixed gap of 1 / (2 beta) nats. `cdpo`: `label_smoothing` of the labels are taken to
    be wrong. `length_normalised`: beta is per token, so tens of times larger."""
    label_smoothing: float = Field(0.1, ge=0, lt=0.5)
    """For `cdpo` alone."""
    sft_weight: float = Field(0.0, ge=0)
    """Of the chosen answer's cross-entropy a token in the loss, which holds its probability up."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the products; `auto` measures this machine. It moved no figure at 3 million parameters."""
    heldout_share: float = Field(0.1, gt=0, lt=1)
    """Share of the groups held out, where the preferences have no held-out file."""
    heldout_pairs: int = local(1000, ge=1)
    """Most held-out pairs that the policy is judged on."""


@stage(
    "train dpo",
    version=1,
    kind="model",
    config=TrainDpoConfig,
    inputs={"model": Slot("model", help="the assistant to start from: also the reference"),
            "preferences": Slot("preferences")},
    summary="tune on preferences by direct preference optimisation",
    example="gristmill train dpo --model FOLDER --preferences FOLDER --beta 0.3",
    seeded=True,
)  # fmt: skip
def train_dpo(config: TrainDpoConfig, inputs: Inputs, output: Output) -> None:
    """A model folder with its chat format; with adapters, merged and `adapter/` beside.

    Figures, on held-out pairs: `dpo.margin.before` and `.after` (implicit rewards), `dpo.accuracy`,
    `dpo.chosen_log_probability` and `dpo.rejected_log_probability` (changes in nats an answer).
    """
    from gristmill.align.dpo import Dpo, DpoSource, StartsAtReference
    from gristmill.align.dpo_evaluation import evaluate_dpo, pair_log_probabilities
    from gristmill.align.pair_rows import read_pairs
    from gristmill.core.progress import progress
    from gristmill.core.seeds import derive_seed
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.stages.tuning import (
        METRICS,
        optimizer_of,
        prepare,
        save_tuned,
        schedule_of,
        settings_of,
        training_of,
    )
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.train.metrics import read_metrics
    from gristmill.train.optimizers import Optimizer
    from gristmill.train.trainer import Trainer

    base = inputs["model"].path
    chat_format = ChatFormat.load(base, Tokenizer.load(base))
    model = load_model(base, choose_device(output.execution.device))
    prepare(model, config.lora, output.seed)
    found = read_pairs(
        inputs["preferences"].path,
        chat_format,
        model.config.context,
        share=config.heldout_share,
        seed=output.seed,
    )
    output.reject("preferences", found.rejects)
    heldout = found.heldout[: config.heldout_pairs]
    # Before the trainer loads a checkpoint: these are the reference's, in a resume too.
    bar = progress("held-out reference", len(heldout), "pairs")
    reference = pair_log_probabilities(model, heldout, progress=bar)
    bar.close()
    source = DpoSource(
        found.train,
        batch=config.batch,
        seed=derive_seed(output.seed, "data"),
        micro_batch=config.micro_batch,
    )
    steps = max(1, round(config.epochs * source.steps_per_epoch))
    objective = Dpo(config.beta, config.form, config.label_smoothing, config.sft_weight)
    trainer = Trainer(
        output.run,
        models={"policy": model},
        optimizers={"policy": Optimizer(model, optimizer_of(config))},
        source=source,
        objective=objective,
        schedule=schedule_of(config, steps),
        settings=settings_of(config, output.seed),
        checks=[StartsAtReference(objective)],
        title="train dpo",
    )
    result = trainer.fit()
    training = training_of(result, "dpo", {"beta": config.beta}, models=1)
    training |= {"form": config.form, "base_content": inputs["model"].content}
    save_tuned(output, model, base, chat_format, config.lora, training)
    output.counts.update(
        pairs=len(found.train),
        heldout=len(heldout),
        rejected=len(found.rejects),
        steps=result.steps,
        tokens=result.tokens,
    )
    output.figures["dpo.loss.final"] = Figure(result.loss)
    before, after = (
        evaluate_dpo(policy, reference, heldout, beta=config.beta, form=config.form)
        for policy in (reference, model)
    )
    _present(before, after, output)
    _draw(read_metrics(output.path / METRICS), output)


def _present(before: DpoEvaluation, after: DpoEvaluation, output: Output) -> None:
    output.figures["dpo.margin.before"] = before.margin
    output.figures["dpo.margin.after"] = after.margin
    output.figures["dpo.accuracy"] = after.accuracy
    output.figures["dpo.chosen_log_probability"] = after.chosen_change
    output.figures["dpo.rejected_log_probability"] = after.rejected_change
    output.tables.append(
        Table(
            "DPO on held-out pairs",
            ["", "before", "after"],
            [
                ["margin of implicit rewards", before.margin, after.margin],
                ["pairs with a margin above 0", before.accuracy, after.accuracy],
                [
                    "log-probability of the chosen answer",
                    before.chosen_log_probability,
                    after.chosen_log_probability,
                ],
                [
                    "log-probability of the rejected answer",
                    before.rejected_log_probability,
                    after.rejected_log_probability,
                ],
            ],
            "Nats an answer. Both log-probabilities may fall while the margin grows.",
        )
    )
    if after.chosen_change.high is not None and after.chosen_change.high < 0:
        output.notes.append(
            f"Chosen answers became less likely by {-after.chosen_change.value:.2f} nats each: "
            f"only the difference to the rejected ones is trained. sft_weight holds them up."
        )


def _draw(records: list[dict[str, Any]], output: Output) -> None:
    from gristmill.stages.tuning import curve

    named = {"preference_loss": "preference loss", "margin": "margin", "accuracy": "accuracy"}
    output.charts.append(curve("DPO while training", records, named, y_label="nats a pair, share"))
    rewards = {"chosen_reward": "chosen", "rejected_reward": "rejected"}
    output.charts.append(
        curve("Implicit rewards of the training pairs", records, rewards, y_label="nats times beta")
    )
    log_probabilities = {
        "chosen_log_probability": "chosen", "rejected_log_probability": "rejected"
    }  # fmt: skip
    output.charts.append(
        curve(
            "Log-probabilities of the training pairs",
            records,
            log_probabilities,
            y_label="nats an answer",
        )
    )
