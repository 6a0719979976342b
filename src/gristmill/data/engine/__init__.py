"""Runs functions over documents in processes that may be killed, here or on a cluster.

map_batches   a function over batches that this process reads (pages, records)
Engine.run    a step over the parts of a document set, each read and written where it is worked
              on; `local` does it in worker processes, `on_ray` as tasks of a Ray cluster
map_parts     a function of whole parts, on either engine
Engine.exchange  a global step: rows of all parts brought together by a number, through files here
              or by Ray Data on a cluster
"""

from gristmill.data.engine.batches import in_batches, map_batches
from gristmill.data.engine.limits import BatchResult, Failure, Limits

__all__ = ["BatchResult", "Failure", "Limits", "in_batches", "map_batches"]
