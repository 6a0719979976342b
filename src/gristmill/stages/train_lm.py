"""`train lm`: pre-trains a language model on token shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Figure
from gristmill.stages.stage import Inputs, Output, Slot, stage
from gristmill.stages.train_lm_config import Shape, TrainLmConfig, dial_of, in_tokens

if TYPE_CHECKING:
    from gristmill.model.language_model import LanguageModel
    from gristmill.scaling.dial import Dial
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.train.optimizers import OptimizerSettings
    from gristmill.train.pace import Pace
    from gristmill.train.schedules import Schedule
    from gristmill.train.settings import Result
    from gristmill.train.text import TextSource

__all__ = ["Shape", "TrainLmConfig", "dial_of", "in_tokens", "train_lm"]

METRICS = "metrics.jsonl"
TRAINING = "training.json"
# In the run, beside its checkpoints, and later in the model.
SINKS = "sinks"
_POWERS = {"constant": 0.0, "root": 0.5, "linear": 1.0}
_PROMPTS = ("The city of", "Physics is the", "She was an American")


@stage(
    "train lm",
    version=4,
    kind="model",
    config=TrainLmConfig,
    inputs={
        "tokens": Slot("tokens"),
        "start": Slot(
            "model", optional=True, named=True, help="goes on from its weights, not from new ones"
        ),
    },
    summary="pre-train a language model",
    example="gristmill train lm --tokens FOLDER --size 4 --token_budget 2400000",
    seeded=True,
)
def train_lm(config: TrainLmConfig, inputs: Inputs, output: Output) -> None:
    """A folder that transformers loads, with `training.json` and `metrics.jsonl`; an LSTM's
    or a speedrun's is for gristmill alone."""
    import sys
    from functools import partial

    from gristmill.model.device import choose_device
    from gristmill.model.flops import flops_per_token
    from gristmill.model.speedrun_config import NOT_EXPORTABLE
    from gristmill.stages.train_choices import choose, present_made
    from gristmill.stages.train_results import present_choices, present_training
    from gristmill.stages.train_start import (
        first_weights,
        like_start,
        old_weights,
        present_positions,
        stretches,
    )
    from gristmill.tokenizer.shards import TokenShards
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.train.interfaces import View
    from gristmill.train.metrics import read_metrics
    from gristmill.train.objectives import NextToken
    from gristmill.train.optimizers import Optimizer
    from gristmill.train.prefetch import Prefetched
    from gristmill.train.probes import HeldoutLoss, PositionLoss, SampleText
    from gristmill.train.sinks import open_sinks
    from gristmill.train.threads import cpu_threads
    from gristmill.train.trainer import Settings, Trainer

    folder = inputs["tokens"].path
    tokenizer = Tokenizer.load(folder)
    shards = TokenShards.open(folder, "train")
    config = in_tokens(config, shards.vocab_size, shards.total_bytes / max(1, shards.total_tokens))
    start = inputs.get("start")
    if start is not None:
        config = like_start(config, start.path, tokenizer)
    dial = dial_of(config, shards.vocab_size)
    pace = _pace(config, dial)
    steps = dial.steps if pace is None else pace.steps
    token_bytes_V = _token_bytes(tokenizer)
    device = choose_device(output.execution.device)
    model = first_weights(config, dial, None if start is None else start.path, output.seed).to(
        device
    )
    print(
        f"  {dial.parameters:,} parameters ({dial.model.layers} layers of width "
        f"{dial.model.width}), {dial.tokens:,} tokens in {steps:,} steps on {device}",
        file=sys.stderr,
    )
    if config.architecture == "speedrun":
        print(f"  {NOT_EXPORTABLE}", file=sys.stderr)
    source = _source(config, dial, folder, output, token_bytes_V, pace)
    heldout = HeldoutLoss(
        TokenShards.open(folder, "heldout"),
        config.context,
        windows=config.probe_windows,
        every=max(1, steps // 8),
        document_mask=config.document_mask,
        token_bytes_V=token_bytes_V,
    )
    samples = SampleText(
        {prompt: [tokenizer.eot_id, *tokenizer.encode(prompt)] for prompt in _PROMPTS},
        tokenizer.decode,
        tokenizer.eot_id,
        every=max(1, steps // 4),
    )
    chosen = choose(config, dial, device, output)
    trainer = Trainer(
        output.run,
        models={"policy": model},
        optimizers={"policy": Optimizer(model, _optimizer(config, dial))},
        source=Prefetched(source, pinned=device.type == "cuda") if chosen.prefetch else source,
        objective=NextToken(z_loss=config.z_loss),
        schedule=_schedule(config, dial, pace),
        settings=Settings(
            seed=output.seed,
            micro_batch=chosen.rows,
            recompute=chosen.recompute,
            clip=config.clip,
            precision=config.precision,
            compile=chosen.compile,
            lanes="auto",
            checkpoint_seconds=config.checkpoint_seconds,
            background=config.checkpoint_background,
            keep_every=config.keep_every,
            update_norm_every=config.update_norms,
        ),
        probes=[heldout, samples],
        sinks=open_sinks(config.sinks, output.run.path / SINKS, output.run.path.name),
        flops_per_token=partial(flops_per_token, dial.model),
        title="train lm",
    )
    positions = PositionLoss(
        heldout.split, config.context, config.probe_windows, config.document_mask
    )
    by_position: dict[str, Any] = {}
    with cpu_threads(config.threads or _threads(dial)):
        if start is not None:
            if stretches(config):
                by_position["as it was"] = positions(
                    View(0, 0, {"policy": old_weights(start.path, device)})
                )
            # Of a resumed run too: a checkpoint's weights come in `fit`.
            by_position["before"] = positions(View(0, 0, {"policy": model}))
        result = trainer.fit()
        if start is not None:
            by_position["after"] = positions(View(result.steps, 0, {"policy": model}))
    _write(output, model, folder, dial, result, source.used)
    records = read_metrics(output.path / METRICS)
    present_training(records, output)
    present_made(chosen, result, records, output)
    if by_position:
        present_positions(by_position, output)
    if config.measure_choices:
        from gristmill.train.choices import Trial, first_rows, measure

        rows = min(chosen.rows, dial.batch_rows)
        trial = Trial(
            dial.model,
            rows,
            threads=config.threads or _threads(dial),
            compile=chosen.compile,
            precision=result.precision.precision,
            recompute=chosen.recompute,
            lanes=result.lanes.count,
            device=str(device),
            text_SBT=first_rows(shards, rows, config.context),
        )
        present_choices(measure(trial), trial.tokens, device.type != "cpu", output)


def _token_bytes(tokenizer: Tokenizer) -> Any:
    """Bytes of text that each token stands for, (vocabulary,): 0 of a special token."""
    import numpy as np

    special = set(tokenizer.special_tokens.values())
    return np.array(
        [0 if i in special else len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)]
    )


def _optimizer(config: TrainLmConfig, dial: Dial) -> OptimizerSettings:
    from gristmill.train.optimizers import OptimizerSettings

    return OptimizerSettings(
        matrix_optimizer=config.optimizer,
        matrix_lr=dial.matrix_lr,
        embedding_lr=dial.embedding_lr,
        head_lr=dial.head_lr,
        other_lr=dial.other_lr,
        weight_decay=dial.weight_decay,
        cautious=config.cautious,
        momentum=config.momentum,
        momentum_start=config.momentum,
    )


def _schedule(config: TrainLmConfig, dial: Dial, pace: Pace | None) -> Schedule:
    """The rates' course; with a batch schedule they follow it as `batch_rates` says."""
    from gristmill.train.schedules import Schedule

    steps = dial.steps if pace is None else pace.steps
    warmup = min(dial.warmup, steps)
    decay = round(config.decay * (steps - warmup)) if config.schedule == "wsd" else 0
    power = _POWERS[config.batch_rates]
    sizes = pace.rates(power) if pace is not None and power else None
    return Schedule(config.schedule, steps, warmup, decay, config.floor, sizes)


def _write(
    output: Output,
    model: LanguageModel,
    folder: Path,
    dial: Dial,
    result: Result,
    used: Mapping[str, int],
) -> None:
    """The model's folder: weights, tokenizer, what was logged, and how it was trained."""
    import shutil

    from gristmill.core.canonical import write_json
    from gristmill.model.weights import save_model

    save_model(output.path, model, folder)
    shutil.copyfile(output.run.path / METRICS, output.path / METRICS)
    output.volatile.add(METRICS)
    if (output.run.path / SINKS).exists():
        shutil.copytree(output.run.path / SINKS, output.path / SINKS)
        output.volatile.add(f"{SINKS}/")
    write_json(
        output.path / TRAINING,
        {
            "steps": result.steps,
            "tokens": result.tokens,
            "skipped": result.skipped,
            "precision": result.precision.precision,
            "samples": used,
            "dial": {reason.name: [reason.value, reason.why] for reason in dial.reasons},
        },
    )
    output.counts["parameters"] = dial.parameters
    output.counts["steps"] = result.steps
    output.counts["tokens"] = result.tokens
    output.counts["skipped"] = result.skipped
    output.figures["train.loss.final"] = Figure(result.loss)
    output.figures["train.tokens"] = Figure(result.tokens)
    output.notes.append(
        f"Computed in {result.precision.precision}: {result.precision.reason}. "
        f"Samples drawn: {', '.join(f'{n:,} of {split}' for split, n in used.items())}."
    )


def _pace(config: TrainLmConfig, dial: Dial) -> Pace | None:
    """The schedules of context and batch; None where there is neither."""
    from gristmill.train.pace import Pace

    if not config.context_schedule and not config.batch_schedule:
        return None
    return Pace(
        dial.steps * dial.batch_rows,
        dial.batch_rows,
        config.context,
        contexts=config.context_schedule,
        batches=config.batch_schedule,
    )


def _source(
    config: TrainLmConfig,
    dial: Dial,
    folder: Any,
    output: Output,
    token_bytes_V: Any,
    pace: Pace | None,
) -> TextSource:
    """The training split; towards the end, the annealing split too, where there is enough of it."""
    from gristmill.core.seeds import derive_seed
    from gristmill.tokenizer.shards import TokenShards
    from gristmill.train.text import Phase, TextSource

    splits = {name: TokenShards.open(folder, name) for name in ("train", "anneal")}
    annealing = round(config.anneal * dial.steps)
    if splits["anneal"].total_tokens < 2 * config.context or config.anneal_weight == 0:
        annealing = 0
    phases = [Phase(dial.steps - annealing, {"train": 1.0})]
    if annealing:
        weights = {"train": 1.0 - config.anneal_weight, "anneal": config.anneal_weight}
        phases.append(Phase(annealing, weights))
    else:
        del splits["anneal"]
    return TextSource(
        splits,
        phases,
        context=config.context,
        batch=dial.batch_rows,
        seed=derive_seed(output.seed, "data"),
        document_mask=config.document_mask,
        token_bytes_V=token_bytes_V,
        pace=pace,
    )


def _threads(dial: Dial) -> int | None:
    from gristmill.model.lstm import LstmConfig
    from gristmill.train.threads import threads_for_lstm

    return threads_for_lstm(dial.model.hidden) if isinstance(dial.model, LstmConfig) else None
