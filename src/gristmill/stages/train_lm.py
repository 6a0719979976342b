"""`train lm`: pre-trains a language model on token shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Chart, Figure, Samples, Series
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, later, local, stage

if TYPE_CHECKING:
    from gristmill.scaling.dial import Dial
    from gristmill.train.text import TextSource

METRICS = "metrics.jsonl"
TRAINING = "training.json"
_PROMPTS = ("The city of", "Physics is the", "She was an American")
_CURVE_POINTS = 200
# Of the dial's numbers, those that not all families have.
ATTENTION = ("heads", "kv_heads", "head_dim", "mlp_width")
_SWITCHES = (
    "ngram_rows", "value_embeddings", "residual_scalars", "logit_cap", "window", "rope_theta"
)  # fmt: skip
_ONLY: dict[str, tuple[str, ...]] = {
    "transformer": ATTENTION,
    "lstm": ("hidden", "dropout"),
    "speedrun": ATTENTION + _SWITCHES,
}


class Shape(StageConfig):
    """Numbers that replace what the size dial derives; what follows from one follows it.

    `heads`, `kv_heads`, `head_dim` and `mlp_width` are a transformer's, `hidden` and `dropout` an
    LSTM's, those from `ngram_rows` to `rope_theta` a speedrun's.
    """

    layers: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=2)
    heads: int | None = Field(None, ge=1)
    kv_heads: int | None = Field(None, ge=1)
    head_dim: int | None = Field(None, ge=2)
    mlp_width: int | None = Field(None, ge=1)
    hidden: int | None = later(None, ge=1)
    """Width of an LSTM's layers."""
    dropout: float | None = later(None, ge=0, lt=1)
    """Of an LSTM: one mask for all tokens of a sequence."""
    ngram_rows: int | None = later(None, ge=0)
    """Rows of the embeddings of pairs, and of triples, of tokens; 0: none."""
    value_embeddings: int | None = later(None, ge=0)
    """How many of the last layers add an embedding of the token to attention's values."""
    residual_scalars: bool | None = later(None)
    """Whether blocks weigh the stream and bring the embedding back."""
    logit_cap: float | None = later(None, ge=0)
    """No logit is beyond it; 0: no cap."""
    window: int | None = later(None, ge=0)
    """Tokens that three of four layers see; 0: all."""
    rope_theta: float | None = later(None, gt=1)
    """Base of the rotary positions."""
    tied: bool | None = None
    """Whether embedding and head are one matrix."""
    batch_rows: int | None = Field(None, ge=1)
    warmup: int | None = Field(None, ge=0)
    """Steps in which the rates rise."""
    matrix_lr: float | None = Field(None, gt=0)
    embedding_lr: float | None = Field(None, gt=0)
    head_lr: float | None = Field(None, gt=0)
    other_lr: float | None = Field(None, gt=0)
    weight_decay: float | None = Field(None, ge=0)


class TrainLmConfig(StageConfig):
    """The size dial, the data's order and the optimizer."""

    architecture: Literal["transformer", "lstm", "speedrun"] = later("transformer")
    """The family. An LSTM and a speedrun (a transformer with every trick that lowers the loss for
    its compute) are trained, evaluated and sampled alike, but not exportable."""
    size: float = Field(4.0, gt=0)
    """Millions of parameters wished for: everything else follows from it (see --dry-run)."""
    token_budget: int | None = Field(None, ge=1)
    """Tokens to train on, repeats included; default: 20 for each parameter."""
    byte_budget: int | None = later(None, ge=1)
    """Instead: bytes of text to train on, so that several tokenizers read the same."""
    flop_budget: float | None = later(None, gt=0)
    """Instead: FLOPs to spend."""
    context: int = Field(256, ge=2)
    context_bytes: int | None = later(None, ge=16)
    """Instead: bytes of text that a context holds on average."""
    dial: Shape = Shape()
    """Replaces single numbers that the size dial derives."""
    document_mask: bool = True
    """Whether a token sees only its own document, positions restarting in each."""
    schedule: Literal["linear", "cosine", "wsd", "constant"] = "wsd"
    """How the rates fall after the warm-up: `wsd` holds them, then falls to `floor`."""
    decay: float = Field(0.6, ge=0, le=1)
    """Share of the steps in which `wsd` falls."""
    floor: float = Field(0.0, ge=0, le=1)
    """Where the rates end, as a share of their peak."""
    anneal: float = Field(0.15, ge=0, lt=1)
    """Share of the steps, at the end, that draw from the annealing split too."""
    anneal_weight: float = Field(0.5, ge=0, le=1)
    """Share of the samples in those steps that come from the annealing split."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """What moves the matrices of the blocks; all else is moved by AdamW."""
    momentum: float = Field(0.85, ge=0, lt=1)
    """Muon's. Low suits small batches."""
    cautious: bool = later(False)
    """Weights decay only where their update moves them towards 0."""
    clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 turns clipping off."""
    z_loss: float = Field(0.0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the products; `auto` measures this machine. Weights and sums are float32 always."""
    compile: bool = local(False)
    """Compiles a transformer's blocks; pays only in long trainings and needs a C++ compiler."""
    micro_batch: int | None = local(None, ge=1)
    """Rows held at once; default: what fits into half of the free memory."""
    threads: int | None = local(None, ge=1)
    """Of the processor, for one operation; default: all, for a narrow LSTM one."""
    start_rope_theta: float | None = later(None, gt=1)
    """Of a start: a larger base of its rotary positions, so that it reads further than before."""
    checkpoint_seconds: float = local(60.0, gt=0)
    checkpoint_background: bool = local(False)
    """Writes checkpoints beside the training; a copy of the weights and the state is held."""
    update_norms: int = local(50, ge=0)
    """Steps between measurements of how far an update moves the weights; 0: none."""
    probe_windows: int = local(32, ge=1)
    """Held-out windows that the loss is watched on, eight times in a training."""
    assumed_vocabulary: int = local(4096, ge=2)
    """What --dry-run takes for the vocabulary before there are tokens."""

    def explain(self) -> list[str]:
        """Every number that the dial derives, with its reason."""
        from gristmill.scaling.cost import explain

        head = f"for a vocabulary of {self.assumed_vocabulary:,}:"
        config = self
        if self.byte_budget or self.flop_budget or self.context_bytes:
            head = f"for a vocabulary of {self.assumed_vocabulary:,} and 4 bytes a token:"
            config = in_tokens(self, self.assumed_vocabulary, 4.0)
        return [head, *explain(dial_of(config, self.assumed_vocabulary))]

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [
            name
            for name in ("token_budget", "byte_budget", "flop_budget")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are two budgets; give one of them")
        return self


@stage(
    "train lm",
    version=3,
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
    import shutil
    import sys

    import numpy as np

    from gristmill.core.canonical import write_json
    from gristmill.model.device import choose_device
    from gristmill.model.flops import flops_per_token
    from gristmill.model.speedrun_config import NOT_EXPORTABLE
    from gristmill.model.weights import save_model
    from gristmill.stages.train_start import first_weights, like_start, present_positions
    from gristmill.tokenizer.shards import TokenShards
    from gristmill.tokenizer.tokenizer import Tokenizer
    from gristmill.train.interfaces import View
    from gristmill.train.metrics import read_metrics
    from gristmill.train.objectives import NextToken
    from gristmill.train.optimizers import Optimizer, OptimizerSettings
    from gristmill.train.probes import HeldoutLoss, PositionLoss, SampleText
    from gristmill.train.schedules import Schedule
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
    special = set(tokenizer.special_tokens.values())
    token_bytes_V = np.array(
        [0 if i in special else len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)]
    )
    device = choose_device(output.execution.device)
    model = first_weights(config, dial, None if start is None else start.path, output.seed).to(
        device
    )
    print(
        f"  {dial.parameters:,} parameters ({dial.model.layers} layers of width "
        f"{dial.model.width}), {dial.tokens:,} tokens in {dial.steps:,} steps on {device}",
        file=sys.stderr,
    )
    if config.architecture == "speedrun":
        print(f"  {NOT_EXPORTABLE}", file=sys.stderr)
    optimizer = OptimizerSettings(
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
    decay = round(config.decay * (dial.steps - dial.warmup)) if config.schedule == "wsd" else 0
    schedule = Schedule(config.schedule, dial.steps, dial.warmup, decay, config.floor)
    source = _source(config, dial, folder, output, token_bytes_V)
    heldout = HeldoutLoss(
        TokenShards.open(folder, "heldout"),
        config.context,
        windows=config.probe_windows,
        every=max(1, dial.steps // 8),
        document_mask=config.document_mask,
        token_bytes_V=token_bytes_V,
    )
    samples = SampleText(
        {prompt: [tokenizer.eot_id, *tokenizer.encode(prompt)] for prompt in _PROMPTS},
        tokenizer.decode,
        tokenizer.eot_id,
        every=max(1, dial.steps // 4),
    )
    trainer = Trainer(
        output.run,
        models={"policy": model},
        optimizers={"policy": Optimizer(model, optimizer)},
        source=source,
        objective=NextToken(z_loss=config.z_loss),
        schedule=schedule,
        settings=Settings(
            seed=output.seed,
            micro_batch=_micro_batch(config, dial, output),
            clip=config.clip,
            precision=config.precision,
            # The layers are fused kernels already; compiling would unroll every step of theirs.
            compile=config.compile and config.architecture != "lstm",
            checkpoint_seconds=config.checkpoint_seconds,
            background=config.checkpoint_background,
            update_norm_every=config.update_norms,
        ),
        probes=[heldout, samples],
        flops_per_token=flops_per_token(dial.model),
        title="train lm",
    )
    positions = PositionLoss(
        heldout.split, config.context, config.probe_windows, config.document_mask
    )
    by_position = {}
    with cpu_threads(config.threads or _threads(dial)):
        if start is not None:
            # Of a resumed run too: a checkpoint's weights come in `fit`.
            by_position["before"] = positions(View(0, 0, {"policy": model}))
        result = trainer.fit()
        if start is not None:
            by_position["after"] = positions(View(result.steps, 0, {"policy": model}))
    save_model(output.path, model, folder)
    shutil.copyfile(output.run.path / METRICS, output.path / METRICS)
    output.volatile.add(METRICS)
    write_json(
        output.path / TRAINING,
        {
            "steps": result.steps,
            "tokens": result.tokens,
            "skipped": result.skipped,
            "precision": result.precision.precision,
            "samples": source.used,
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
        f"Samples drawn: {', '.join(f'{n:,} of {split}' for split, n in source.used.items())}."
    )
    _present(read_metrics(output.path / METRICS), output)
    if by_position:
        present_positions(by_position, output)


def in_tokens(config: TrainLmConfig, vocab_size: int, bytes_per_token: float) -> TrainLmConfig:
    """The same settings with context and budget in tokens, where bytes or FLOPs are asked for."""
    update: dict[str, Any] = {}
    if config.context_bytes is not None:
        # In steps of 8 tokens, which suit the products of attention.
        update["context"] = max(8, 8 * round(config.context_bytes / bytes_per_token / 8))
        update["context_bytes"] = None
    if config.byte_budget is not None:
        update["token_budget"] = max(1, round(config.byte_budget / bytes_per_token))
        update["byte_budget"] = None
    config = config.model_copy(update=update)
    if config.flop_budget is not None:
        from gristmill.model.flops import flops_per_token

        one = config.model_copy(update={"flop_budget": None, "token_budget": 1})
        each = flops_per_token(dial_of(one, vocab_size).model)
        tokens = max(1, round(config.flop_budget / each))
        config = config.model_copy(update={"flop_budget": None, "token_budget": tokens})
    return config


def dial_of(config: TrainLmConfig, vocab_size: int) -> Dial:
    """What the size dial of the architecture derives, single numbers replaced."""
    from gristmill.scaling.dial import turn
    from gristmill.scaling.lstm_dial import turn_lstm
    from gristmill.scaling.speedrun_dial import turn_speedrun

    overrides = config.dial.model_dump()
    tied = overrides.pop("tied")
    own = _ONLY[config.architecture]
    for name in sorted({name for names in _ONLY.values() for name in names} - set(own)):
        if overrides.pop(name) is not None:
            raise GristmillError(
                f"'{name}' is no part of the architecture {config.architecture}",
                where=f"train.lm.dial.{name}",
                mend="leave it out, or choose another architecture",
            )
    derive = {"transformer": turn, "lstm": turn_lstm, "speedrun": turn_speedrun}
    return derive[config.architecture](
        config.size * 1e6,
        vocab_size=vocab_size,
        context=config.context,
        tokens=config.token_budget,
        tied=tied,
        overrides=overrides,
    )


def _source(
    config: TrainLmConfig, dial: Dial, folder: Any, output: Output, token_bytes_V: Any
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
    )


def _threads(dial: Dial) -> int | None:
    from gristmill.model.lstm import LstmConfig
    from gristmill.train.threads import threads_for_lstm

    return threads_for_lstm(dial.model.hidden) if isinstance(dial.model, LstmConfig) else None


def _micro_batch(config: TrainLmConfig, dial: Dial, output: Output) -> int:
    """The rows of a micro-batch: asked for, or the most that fit; pinned in the run."""
    import psutil

    from gristmill.scaling.cost import activation_bytes

    def measure() -> int:
        if config.micro_batch is not None:
            return config.micro_batch
        rows = dial.batch_rows
        while rows > 1 and activation_bytes(dial.model, rows) > _free_memory() / 2:
            rows = (rows + 1) // 2
        return rows

    def _free_memory() -> float:
        import torch

        if torch.cuda.is_available() and output.execution.device != "cpu":
            return float(torch.cuda.mem_get_info()[0])
        return float(psutil.virtual_memory().available)

    return int(output.run.pin("micro_batch", measure))


def _present(records: list[dict[str, Any]], output: Output) -> None:
    """The loss curve in bits per byte over tokens, and what the model wrote along the way."""
    steps = [r for r in records if r.get("bits_per_byte") is not None]
    size = max(1, -(-len(steps) // _CURVE_POINTS))
    groups = [steps[i : i + size] for i in range(0, len(steps), size)]
    series = [
        Series(
            "training",
            [group[-1]["tokens"] for group in groups],
            [sum(r["bits_per_byte"] for r in group) / len(group) for group in groups],
        )
    ]
    watched = [r for r in records if r.get("heldout.bits_per_byte") is not None]
    if watched:
        x = [r["tokens"] for r in watched]
        series.append(Series("held out", x, [r["heldout.bits_per_byte"] for r in watched]))
        output.figures["train.bits_per_byte.heldout"] = Figure(watched[-1]["heldout.bits_per_byte"])
    output.charts.append(Chart("Loss while training", "tokens", "bits per byte", series))
    rows = [
        {"step": str(r["step"]), "prompt": key.removeprefix("samples."), "text": value}
        for r in records
        for key, value in r.items()
        if key.startswith("samples.")
    ]
    output.samples.append(Samples("What it wrote while it trained", rows))
