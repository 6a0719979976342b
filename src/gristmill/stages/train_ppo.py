"""`train ppo`: tunes an assistant against a reward model, held near where it began."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.figure import Figure, Samples
from gristmill.stages.stage import Inputs, Output, Slot, local, stage
from gristmill.stages.tuning import TuningConfig

if TYPE_CHECKING:
    from torch import nn

    from gristmill.align.policy_evaluation import PolicyEvaluation
    from gristmill.align.ppo import PpoSettings
    from gristmill.align.reward import RewardModel
    from gristmill.model.scalar import ScalarModel
    from gristmill.tokenizer.chat import ChatFormat

_SHOWN = 10


class TrainPpoConfig(TuningConfig):
    """Roll-outs, rewards and clips; see also the settings that all tuning shares. Sizes were
    chosen on the demo's model of 3.2 million parameters."""

    iterations: int = Field(16, ge=1)
    """Times that answers are sampled and learned from."""
    rollouts: int = Field(64, ge=1)
    """Answers an iteration, each to another prompt."""
    epochs: int = Field(2, ge=1)
    """Passes over an iteration's answers."""
    minibatches: int = Field(2, ge=1)
    """Steps that a pass is cut into; rollouts must be a multiple of it."""
    max_tokens: int = Field(48, ge=1)
    """Longest answer."""
    max_prompt_tokens: int | None = Field(None, ge=1)
    """Longer prompts are not trained on; held-out ones are answered all the same. All answers of
    an iteration are padded to the longest, so one long prompt slows all."""
    temperature: float = Field(1.0, gt=0)
    """Of sampling, and of every log-probability; nothing is cut off by top-k or top-p."""
    lr: float = Field(3e-4, gt=0)
    """Of the policy (or of its adapters)."""
    value_lr: float = Field(1e-3, gt=0)
    """Of the value model."""
    value_warmup: int = Field(1, ge=0)
    """First iterations, in which the value model alone learns."""
    beta: float = Field(0.1, ge=0)
    """Score that a nat of KL from the reference costs."""
    target_kl: float | None = Field(None, gt=0)
    """Nats a sequence that beta is adapted to; default: beta stays."""
    horizon: float = Field(2000.0, gt=0)
    """Sequences over which beta adapts."""
    kl: Literal["k1", "k3"] = "k1"
    """Estimator of the KL in the reward; k1 is unbiased, in its gradient too."""
    gamma: float = Field(1.0, gt=0, le=1)
    lam: float = Field(0.95, ge=0, le=1)
    """Of generalised advantage estimation."""
    ratio_clip: float = Field(0.2, gt=0)
    value_clip: float = Field(0.2, gt=0)
    value_weight: float = Field(0.5, ge=0)
    """Of the value loss beside the policy's, in the clipped gradient."""
    missing_end_score: float | None = None
    """Of an answer that did not end within max_tokens; default: -3, and -1 for a direct reward."""
    whiten_advantages: bool = True
    whiten_rewards: bool = False
    """Scales rewards to deviation 1; their mean stays."""
    truncated_importance: float | None = Field(None, gt=0)
    """Bound on the weight that corrects a sampler in another precision; default: no weights."""
    questions: int = Field(200, ge=2)
    """Held-out prompts that are answered before and after."""
    max_rows: int = local(64, ge=1)
    """Answers decoded together."""


@stage(
    "train ppo",
    version=1,
    kind="model",
    config=TrainPpoConfig,
    inputs={
        "model": Slot("model", help="an assistant (train sft): policy and reference"),
        "reward": Slot("reward", help="scores answers; the value model starts from its weights"),
        "chats": Slot("chats", help="prompts to train on, and held-out ones"),
    },
    summary="tune by PPO against a reward model, with a KL penalty to the reference",
    example="gristmill train ppo --model FOLDER --reward FOLDER --chats FOLDER --beta 0.1",
    seeded=True,
)
def train_ppo(config: TrainPpoConfig, inputs: Inputs, output: Output) -> None:
    """A model folder as `train sft` writes it. Figures: `ppo.reward.before` and `.after` (fresh
    answers to held-out prompts), `ppo.reward.gain` (paired by prompt), `ppo.kl` (nats a sequence),
    `ppo.beta`, `ppo.ended`."""
    from gristmill.align.checks import FirstRatioIsOne, NoDropout
    from gristmill.align.policy_evaluation import Asking, evaluate_policy, gain
    from gristmill.align.ppo import Ppo
    from gristmill.align.ppo_source import PpoSource
    from gristmill.align.reward import RewardModel
    from gristmill.core.errors import GristmillError
    from gristmill.core.seeds import derive_seed
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.lora import disabled
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

    base, device = inputs["model"].path, choose_device(output.execution.device)
    chat_format = ChatFormat.load(base, Tokenizer.load(base))
    policy = load_model(base, device)
    reward = RewardModel.load(inputs["reward"].path, device)
    prepare(policy, config.lora, output.seed)
    models: dict[str, nn.Module] = {"policy": policy, "value": _value_model(reward)}
    # With adapters the policy without them is the reference; no second copy is held.
    reference = policy if config.lora.rank else load_model(base, device)
    if reference is not policy:
        models["reference"] = reference
    prompts = _prompts(config, inputs, "prompts", chat_format, policy.config.context, output)
    everything = len(prompts)
    prompts = [ids for ids in prompts if len(ids) <= (config.max_prompt_tokens or len(ids))]
    if not prompts:
        raise GristmillError(
            f"none of {everything} prompts has at most {config.max_prompt_tokens} tokens",
            where="max_prompt_tokens",
            mend="allow longer ones",
        )
    heldout = _prompts(config, inputs, "heldout", chat_format, policy.config.context, output)
    heldout = heldout[: config.questions]

    settings = _settings(config, -1.0 if reward.form == "direct" else -3.0)
    asking = Asking(
        config.max_tokens,
        config.temperature,
        chat_format.stop_ids,
        derive_seed(output.seed, "held-out"),
    )

    def evaluate() -> PolicyEvaluation:
        return evaluate_policy(
            Engine(policy, max_rows=config.max_rows),
            Engine(reference),
            heldout,
            reward.score,
            asking,
            end_id=chat_format.end_id,
            missing_end_score=settings.missing_end_score,
            as_reference=disabled(policy) if reference is policy else None,
        )

    # Before the trainer loads a checkpoint: the policy is the base here, in a resume too.
    before = evaluate()
    objective = Ppo(settings)
    source = PpoSource(
        prompts,
        reward.score,
        settings,
        end_id=chat_format.end_id,
        stop_ids=chat_format.stop_ids,
        seed=derive_seed(output.seed, "data"),
        max_rows=config.max_rows,
        micro_batch=config.micro_batch,
    )
    steps = config.iterations * settings.steps_per_iteration
    trainer = Trainer(
        output.run,
        models=models,
        # Epsilon as in the papers' code (Huang et al. 2024, detail 8).
        optimizers={
            "policy": Optimizer(policy, optimizer_of(config, epsilon=1e-5)),
            "value": Optimizer(
                models["value"], optimizer_of(config, lr=config.value_lr, epsilon=1e-5)
            ),
        },
        source=source,
        objective=objective,
        schedule=schedule_of(config, steps),
        settings=settings_of(config, output.seed),
        checks=[NoDropout(), FirstRatioIsOne(objective.ratio)],
        title="train ppo",
    )
    result = trainer.fit()
    after = evaluate()
    method = "ppo_direct" if reward.form == "direct" else "ppo"
    strength = {"beta": config.beta, "target_kl": config.target_kl}
    # And the reward model.
    training = training_of(result, method, strength, models=len(models) + 1)
    training |= {"kl_estimator": config.kl, "beta": source.beta}
    training |= {"base_content": inputs["model"].content}
    save_tuned(output, policy, base, chat_format, config.lora, training)
    output.counts |= {"prompts": len(prompts), "prompts_left_out": everything - len(prompts)}
    output.counts |= {"questions": len(heldout), "steps": result.steps}
    output.figures["ppo.reward.before"] = before.reward
    output.figures["ppo.reward.after"] = after.reward
    output.figures["ppo.reward.gain"] = gain(before, after)
    output.figures["ppo.kl"] = after.kl
    output.figures["ppo.beta"] = Figure(source.beta)
    output.figures["ppo.ended"] = after.ended
    output.figures["ppo.answer_tokens.before"] = before.length
    output.figures["ppo.answer_tokens.after"] = after.length
    _present(read_metrics(output.path / METRICS), output)
    _show(heldout, before, after, chat_format, output)


def _settings(config: TrainPpoConfig, missing_end_score: float) -> PpoSettings:
    from gristmill.align.ppo import PpoSettings

    given = config.missing_end_score
    return PpoSettings(
        rollouts=config.rollouts,
        epochs=config.epochs,
        minibatches=config.minibatches,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        beta=config.beta,
        target_kl=config.target_kl,
        horizon=config.horizon,
        gamma=config.gamma,
        lam=config.lam,
        clip=config.ratio_clip,
        value_clip=config.value_clip,
        value_weight=config.value_weight,
        missing_end_score=missing_end_score if given is None else given,
        whiten_advantages=config.whiten_advantages,
        whiten_rewards=config.whiten_rewards,
        kl=config.kl,
        truncated_importance=config.truncated_importance,
        value_warmup=config.value_warmup,
    )


def _value_model(reward: RewardModel) -> ScalarModel:
    """A copy of the reward model whose head speaks in the scale of the rewards."""
    import copy

    import torch

    value = copy.deepcopy(reward.model)
    with torch.no_grad():
        value.score.weight.div_(reward.normalisation.deviation)
    return value


def _prompts(
    config: TrainPpoConfig,
    inputs: Inputs,
    split: str,
    chat_format: ChatFormat,
    context: int,
    output: Output,
) -> list[list[int]]:
    """The ids of a split's prompts; those that leave no room for an answer are rejects."""
    from gristmill.align.chats import read_chats

    path: Path = inputs["chats"].path / f"{split}.jsonl"
    chats, rejects = read_chats(path)
    found = []
    for chat in chats:
        ids = chat_format.prompt(chat.prompt)
        if len(ids) + config.max_tokens <= context:
            found.append(ids)
        else:
            rejects.append(
                {
                    "where": f"{path.name}: {chat.id}",
                    "reason": "no room for an answer",
                    "sample": "",
                }
            )
    output.reject(split, rejects)
    return found


def _present(records: list[dict[str, Any]], output: Output) -> None:
    """Curves over iterations."""
    from gristmill.stages.tuning import curve

    rollouts = [
        {**record, "iteration": number}
        for number, record in enumerate(r for r in records if r.get("score") is not None)
    ]
    for title, label, names in (
        ("Reward of the roll-outs", "score", {"score": "score"}),
        ("KL from the reference", "nats a sequence", {"kl": "k1", "kl_k3": "k3"}),
        ("Entropy", "nats a token", {"entropy": "entropy"}),
        ("Length of the answers", "tokens", {"answer_tokens": "tokens"}),
        ("What the value model explains", "share of variance", {"explained_variance": "values"}),
    ):
        output.charts.append(curve(title, rollouts, names, y_label=label, x="iteration"))


def _show(
    prompts: list[list[int]],
    before: PolicyEvaluation,
    after: PolicyEvaluation,
    chat_format: ChatFormat,
    output: Output,
) -> None:
    rows = [
        {
            "prompt": chat_format.tokenizer.decode(prompts[i], skip_special=True),
            "before": f"{chat_format.text(before.answers[i].tokens)} ({before.scores[i]:.2f})",
            "after": f"{chat_format.text(after.answers[i].tokens)} ({after.scores[i]:.2f})",
        }
        for i in range(min(_SHOWN, len(prompts)))
    ]
    output.samples.append(Samples("Held-out answers, with the reward model's score", rows))
