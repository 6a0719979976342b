"""Ours, for benchmarks/pipeline.py: the chain from WARC files to token shards in one process.

    python benchmarks/pipeline_ours.py WORKSPACE TOKENIZER [--warm WARC] [--part PAGES] WARC...

TOKENIZER is an artifact's folder, or `-`: then one of 8,192 ids is trained on what is mixed and
named on the last line, and nothing is encoded. The same command on the same workspace goes on where
it was killed. The last line is JSON: CPU seconds with those of workers, by stage too, the largest
memory of the process and its workers, the text of the largest part, and what came out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beside import peak_memory

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact
    from gristmill.stages.workspace import Workspace

# Documents of a part, at every step, and its stored megabytes: what memory is to be bounded by.
# In the order of URLs the long pages of a site stand together: by documents alone the largest part
# of eight files has three times the text of that of one.
PART, PART_MB = 500, 2
BANDS, ROWS, WORDS = 14, 8, 5


def chain(
    workspace: Workspace,
    warcs: Sequence[str],
    tokenizer: Path | None,
    workers: int,
    address: str | None = None,
    part: int = PART,
) -> dict[str, Artifact]:
    """All stages, one after the other. As in FineWeb's example C4's rule of line ends is off, and
    e-mail and IP addresses are what is masked; the estimate of precision and recall, which the peer
    has not, is off too."""
    # Here, because a worker process imports this file, as it does the program of the CLI.
    from gristmill.core.artifact import Artifact
    from gristmill.stages.data_dedup import data_dedup
    from gristmill.stages.data_extract import data_extract
    from gristmill.stages.data_filter import data_filter
    from gristmill.stages.data_mix import data_mix
    from gristmill.stages.data_warc import data_warc
    from gristmill.stages.stage import Execution
    from gristmill.stages.tokenizer_encode import tokenizer_encode
    from gristmill.stages.tokenizer_train import tokenizer_train

    how = Execution(workers=workers, engine="ray" if address else "local", address=address)
    made: dict[str, Artifact] = {}

    def run(one: Any, inputs: dict[str, Artifact], **settings: Any) -> Artifact:
        made[one.name] = one.run(one.config(**settings), inputs, workspace, seed=7, execution=how)
        return made[one.name]

    pages = run(data_warc, {}, paths=list(warcs))
    documents = run(data_extract, {"pages": pages}, part_pages=part, part_mb=PART_MB)
    filtered = run(
        data_filter,
        {"documents": documents},
        c4={"terminal_punctuation": False},
        personal_data={"kinds": ["email", "ip"]},
    )
    near = {"bands": BANDS, "rows": ROWS, "words": WORDS, "threshold": 0.7, "sample": 0}
    unique = run(data_dedup, {"documents": filtered}, near=near)
    mixture = run(data_mix, {"documents": unique}, documents_per_part=part)
    if tokenizer is None:
        run(tokenizer_train, {"mixture": mixture}, vocab_size=8192)
    else:
        run(tokenizer_encode, {"mixture": mixture, "tokenizer": Artifact.open(tokenizer)})
    return made


def cpu_seconds() -> float:
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


def largest_part(documents: Artifact) -> int:
    """Bytes of text in the part that has most."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return max(
        pc.sum(pc.binary_length(pq.read_table(file, columns=["text"])["text"])).as_py() or 0
        for file in (documents.path / "documents").glob("*.parquet")
    )


def main() -> None:
    from gristmill.stages.workspace import Workspace

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("tokenizer")
    parser.add_argument("warcs", nargs="+")
    parser.add_argument("--warm")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--part", type=int, default=PART, help="documents of a part")
    parser.add_argument("--address", help="of a Ray cluster, which is then used")
    given = parser.parse_args()
    tokenizer = None if given.tokenizer == "-" else Path(given.tokenizer)
    if given.warm:
        other = Path(tempfile.mkdtemp(dir=given.workspace.parent))
        chain(Workspace.at(other), [given.warm], tokenizer, given.workers, part=given.part)
        shutil.rmtree(other)
    # Who is to kill this run counts from here.
    print("begins", flush=True)
    start, wall = cpu_seconds(), time.monotonic()
    made = chain(
        Workspace.at(given.workspace),
        given.warcs,
        tokenizer,
        given.workers,
        given.address,
        given.part,
    )
    seconds = cpu_seconds() - start
    manifests = {name: artifact.manifest for name, artifact in made.items()}
    print(
        json.dumps(
            {
                "seconds": round(seconds, 3),
                "wall": round(time.monotonic() - wall, 3),
                "stages": {name: m.cpu_seconds for name, m in manifests.items()},
                # Of this process, and of it and its workers together as the stages saw it.
                "peak_bytes": max(
                    peak_memory(), *(m.peak_memory_bytes or 0 for m in manifests.values())
                ),
                "peaks": {name: m.peak_memory_bytes for name, m in manifests.items()},
                "counts": {name: m.counts for name, m in manifests.items()},
                "paths": {name: str(artifact.path) for name, artifact in made.items()},
                "largest_part_bytes": largest_part(made["data.extract"]),
                "content": list(manifests.values())[-1].content,
            }
        )
    )


if __name__ == "__main__":
    main()
