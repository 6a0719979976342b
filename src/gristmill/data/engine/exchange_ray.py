"""An exchange on a Ray cluster: Ray Data moves the rows, spills them and makes again what a lost
node had; we only say what a part becomes, and what a partition.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from gristmill.core.errors import GristmillError
from gristmill.data.engine.exchange import PARTITION, Exchange

P = TypeVar("P")

# Blocks that Ray makes of what a part becomes, and that it collects before it divides them: its
# defaults (128 MiB, 1 GiB) are more than the object store of a small machine.
_BLOCK_BYTES, _COLLECTED_BYTES = 32 << 20, 32 << 20
_MOST_TASKS = 4096


def exchange_on(ray: Any, exchange: Exchange[P], parts: Iterable[P]) -> Iterator[Any]:
    """What `gather` told of each partition, in order. ray: the module, connected."""
    import ray.data as data

    _quieten(data)
    # A row is a part's number; the parts travel with the function, so that no node's loss takes
    # them.
    named = list(parts)
    found: dict[int, Any] = {}
    if named:
        rows = [{"number": number} for number in range(len(named))]
        blocks = min(len(named), _MOST_TASKS)
        spread = data.from_items(rows, override_num_blocks=blocks).map_batches(
            _spreading(exchange, named), batch_size=1, batch_format="pyarrow", zero_copy_batch=True
        )
        gathered = spread.groupby(PARTITION, num_partitions=exchange.partitions).map_groups(
            _gathering(exchange), batch_format="pyarrow"
        )
        try:
            gathered_rows = gathered.take_all()
        except GristmillError:
            raise
        except Exception as error:
            cause = _own(error)
            raise (
                cause
                if cause is not None
                else RuntimeError(f"an exchange on the cluster failed:\n{error}")
            ) from None
        found = {int(row[PARTITION]): json.loads(row["told"]) for row in gathered_rows}
    for partition in range(exchange.partitions):
        # Ray knows no partition that no row is in.
        if partition not in found:
            found[partition] = json.loads(
                json.dumps(exchange.gather_rows(partition, exchange.schema.empty_table()))
            )
        yield found.pop(partition)


def _spreading(exchange: Exchange[P], parts: Sequence[P]) -> Callable[[pa.Table], pa.Table]:
    def spread(numbers: pa.Table) -> pa.Table:
        made = [exchange.spread_part(parts[number]) for number in numbers["number"].to_pylist()]
        return pa.concat_tables(made)

    return spread


def _gathering(exchange: Exchange[Any]) -> Callable[[pa.Table], pa.Table]:
    def gather(rows: pa.Table) -> pa.Table:
        partition = int(rows[PARTITION][0].as_py())
        told = json.dumps(exchange.gather_rows(partition, rows), ensure_ascii=False)
        return pa.table({PARTITION: pa.array([partition], pa.int32()), "told": [told]})

    return gather


def _quieten(data: Any) -> None:
    """Ray Data draws bars of its own, and writes its plans and errors to standard error."""
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    if hasattr(context, "shuffle_input_batch_bytes"):
        context.shuffle_input_batch_bytes = _COLLECTED_BYTES
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def _own(error: BaseException | None) -> GristmillError | None:
    """Ours, where a task of the cluster raised it."""
    while error is not None:
        for one in (error, getattr(error, "cause", None)):
            if isinstance(one, GristmillError):
                return one
        error = error.__cause__
    return None
