"""How a pre-training is computed on this machine: each choice made, said and shown with its reason.

What changes bits (precision, compilation, lanes, micro-batches, recomputing) is pinned in the run,
so that a resume computes as the run began.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

from gristmill.core.figure import Table

if TYPE_CHECKING:
    import torch

    from gristmill.scaling.dial import Dial
    from gristmill.stages.stage import Output
    from gristmill.stages.train_lm_config import TrainLmConfig
    from gristmill.train.settings import Result

LOADER = "token loader"


@dataclass(frozen=True)
class Made:
    """One choice: what of the computing, how, and why."""

    name: str
    value: str
    why: str


@dataclass(frozen=True)
class Choices:
    """compile: blocks. rows: held at once. recompute: activations. prefetch: a batch ahead.
    made: all of them in words."""

    compile: bool
    rows: int
    recompute: bool
    prefetch: bool
    made: tuple[Made, ...]


def choose(config: TrainLmConfig, dial: Dial, device: torch.device, output: Output) -> Choices:
    """Decides, or recalls what the run decided when it began, and says it."""
    from gristmill.stages.train_memory import hold
    from gristmill.train.gpu import prepare

    settings = prepare(device)
    compiled, why = output.run.pin("compile", lambda: list(_compiles(config, device)))
    rows, recompute, kept = hold(config, dial, output)
    prefetch = device.type != "cpu"
    how = "a batch ahead, pinned" if device.type == "cuda" else "a batch ahead"
    ahead = Made(LOADER, how, "the GPU does not wait for it")
    if not prefetch:
        ahead = Made(LOADER, "in the step", "it takes about a thousandth of one")
    how, _, because = kept.partition(": ")
    whole = "the whole batch" if rows >= dial.batch_rows else f"of {dial.batch_rows} a step"
    made = [
        Made("compilation", "block by block" if compiled else "none", why),
        _attends(config, dial, device),
        _loss_head(dial.model.vocab_size, device),
        ahead,
        Made("rows held at once", f"{rows:,}", whole),
        Made("activations", how, because or "what is held fits into the memory"),
    ]
    if settings:
        made.append(Made("set on the GPU", ", ".join(settings), "torch does not by itself"))
    for one in made:
        said = f"{one.name}: {one.value} ({one.why})"
        print(fill(said, 80, initial_indent="  ", subsequent_indent="    "), file=sys.stderr)
    return Choices(bool(compiled), rows, recompute, prefetch, tuple(made))


def present_made(
    chosen: Choices, result: Result, records: Sequence[Mapping[str, Any]], output: Output
) -> None:
    """The table of all choices of this training; of the loader with what it took of the steps."""
    precision, lanes = result.precision, result.lanes
    made = [
        Made("precision of products", precision.precision, precision.reason),
        *chosen.made,
        Made("lanes", str(lanes.count), lanes.reason),
    ]
    waits = [one["source_seconds"] / one["seconds"] for one in records if "source_seconds" in one]
    if waits:
        share = f"steps wait {statistics.median(waits):.2%} of their time for it"
        made = [Made(one.name, one.value, share) if one.name == LOADER else one for one in made]
    rows = [[one.name, one.value, one.why] for one in made]
    output.tables.append(Table("How it was computed", ["what", "how", "why"], rows))


def _compiles(config: TrainLmConfig, device: torch.device) -> tuple[bool, str]:
    if config.architecture == "lstm":
        # Compiling would unroll every step of its kernels.
        return False, "an LSTM's layers are fused kernels already"
    if config.compile is not None:
        return config.compile, "asked for"
    if device.type == "cuda":
        return True, "on a GPU norms and activations cost as much as products otherwise"
    return False, "a first compilation takes half a minute and more; --compile true asks for it"


def _attends(config: TrainLmConfig, dial: Dial, device: torch.device) -> Made:
    import torch

    from gristmill.model.attention import MATMUL_LIMIT, QUERY_BLOCK
    from gristmill.model.flex import works
    from gristmill.model.lstm import LstmConfig
    from gristmill.train.precision import DTYPES

    if config.architecture == "lstm":
        return Made("attention", "none", "an LSTM has none")
    if device.type == "cpu" and config.context <= MATMUL_LIMIT:
        how = f"matrix products, {QUERY_BLOCK} queries at a time"
        return Made("attention", how, f"torch's fused kernel is slower up to {MATMUL_LIMIT} tokens")
    if not config.document_mask:
        return Made("attention", "torch's fused kernel", "rows are whole, the causal mask is all")
    windows = config.architecture == "speedrun" and bool(config.dial.window)
    # Measured, it is bf16 on every GPU that has the kernel.
    dtype = torch.bfloat16 if config.precision == "auto" else DTYPES[config.precision]
    assert not isinstance(dial.model, LstmConfig)
    if not windows and works(device, dial.model.head_dim, dtype):
        return Made("attention", "FlexAttention", "skips what is of another document; tried here")
    return Made("attention", "torch's fused kernel, masked", "documents do not see each other")


def _loss_head(vocab_size: int, device: torch.device) -> Made:
    from gristmill.train.cross_entropy import rows_at_a_time

    how = f"{rows_at_a_time(vocab_size, device):,} rows of logits at a time"
    if device.type == "cuda":
        how += ", one kernel for softmax and gradient"
    return Made("loss head", how, f"all {vocab_size:,} logits of all rows are never held")
