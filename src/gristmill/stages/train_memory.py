"""What of a training is held in memory at a time: decided at its start, printed and pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gristmill.core.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.scaling.dial import Dial
    from gristmill.stages.stage import Output
    from gristmill.stages.train_lm_config import TrainLmConfig


def hold(config: TrainLmConfig, dial: Dial, output: Output) -> tuple[int, bool, str]:
    """(rows of a micro-batch, whether blocks compute their activations again, why).

    Smaller micro-batches cost nothing but rounding, so they come first: `auto` recomputes where
    one row alone takes more than half of the free memory.
    """
    recompute, why = output.run.pin("recompute", lambda: list(_recompute(config, dial, output)))
    rows = output.run.pin("micro_batch", lambda: _rows(config, dial, output, bool(recompute)))
    return int(rows), bool(recompute), str(why)


def _recompute(config: TrainLmConfig, dial: Dial, output: Output) -> tuple[bool, str]:
    from gristmill.scaling.cost import activation_bytes

    if config.checkpoint_activations != "auto":
        asked = config.checkpoint_activations == "blocks"
        if asked and config.architecture == "lstm":
            raise GristmillError(
                "an LSTM has no blocks that could be computed again",
                where="train.lm.checkpoint_activations",
                mend="leave it out; a smaller micro_batch holds less",
            )
        return asked, "computed again block by block (asked for)" if asked else "kept"
    if config.architecture == "lstm":
        return False, "kept: an LSTM has no blocks that could be computed again"
    needed, free = activation_bytes(dial.model, 1), free_memory(output) / 2
    said = f"one row needs {needed / 2**20:,.0f} MiB of {free / 2**20:,.0f}, half of what is free"
    if needed > free:
        return True, f"computed again block by block: {said}"
    return False, f"kept: {said}"


def _rows(config: TrainLmConfig, dial: Dial, output: Output, recompute: bool) -> int:
    from gristmill.scaling.cost import activation_bytes, recomputed_bytes

    if config.micro_batch is not None:
        return config.micro_batch
    needed = recomputed_bytes if recompute else activation_bytes
    rows = max([dial.batch_rows, *(rows for _, rows in config.batch_schedule)])
    while rows > 1 and needed(dial.model, rows) > free_memory(output) / 2:
        rows = (rows + 1) // 2
    return rows


def free_memory(output: Output) -> float:
    """Bytes that are free where this training computes."""
    import psutil
    import torch

    if torch.cuda.is_available() and output.execution.device != "cpu":
        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available)
