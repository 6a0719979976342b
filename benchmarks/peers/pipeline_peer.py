"""The peer of the pipeline's benchmark: datatrove's chain from WARC to token files.

    python pipeline_peer.py WARM WARC WORK TOKENIZER LANGUAGE_MODEL BANDS ROWS WORDS

The steps of its FineWeb example without address lists: WarcReader, Trafilatura, LanguageFilter,
Gopher's repetition and quality, C4, FineWeb; MinHash in its four stages; e-mail and IP addresses
masked; tokens, shuffled. The steps are called as its executors call them, but without the
executors' logs and markers. WARM is a folder with a WARC file of other pages that goes the same way
first, so that imports and models are not counted; WARC the folder with the file that is measured.
TOKENIZER is a tokenizer.json, LANGUAGE_MODEL fastText's lid.176.ftz, which is smaller and faster
than the file that datatrove would download.

The last line: {"seconds": CPU seconds with those of its extractor's process, "stages", "pages",
"kept", "tokens", "peak_bytes"}.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fasttext
import trafilatura  # noqa: F401  (its worker is forked, and must not import it within its time)
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from loguru import logger

SECONDS_PER_PAGE = 10.0


def cpu_seconds() -> float:
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


def run(*steps: Any, rank: int = 0, world_size: int = 1) -> None:
    """One task, its steps joined as the executor joins them."""
    data: Any = None
    for step in steps:
        data = step(data, rank, world_size) if callable(step) else step
    if data is not None:
        deque(data, maxlen=0)


class Chain:
    """The stages of one run, timed."""

    def __init__(self, work: Path, tokenizer: str, model: str, config: MinhashConfig):
        self.work, self.tokenizer, self.config = work, tokenizer, config
        self.language = LanguageFilter("en")
        self.language.model._model = fasttext.FastText._FastText(model)
        self.stages: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        start = cpu_seconds()
        yield
        self.stages[name] = round(cpu_seconds() - start, 3)

    def __call__(self, warcs: Path) -> None:
        work = self.work
        with self.timed("extract and filter"):
            run(
                WarcReader(str(warcs), glob_pattern="*.warc.gz"),
                Trafilatura(favour_precision=True, timeout=SECONDS_PER_PAGE),
                self.language,
                GopherRepetitionFilter(),
                GopherQualityFilter(),
                C4QualityFilter(filter_no_terminal_punct=False),
                FineWebQualityFilter(),
                JsonlWriter(str(work / "filtered")),
            )
        with self.timed("signatures"):
            run(
                JsonlReader(str(work / "filtered")),
                MinhashDedupSignature(str(work / "signatures"), config=self.config),
            )
        with self.timed("buckets and clusters"):
            for bucket in range(self.config.num_buckets):
                step = MinhashDedupBuckets(
                    str(work / "signatures"), str(work / "buckets"), config=self.config
                )
                run(step, rank=bucket, world_size=self.config.num_buckets)
            run(
                MinhashDedupCluster(
                    str(work / "buckets"), str(work / "removed"), config=self.config
                )
            )
        with self.timed("tokens"):
            run(
                JsonlReader(str(work / "filtered")),
                MinhashDedupFilter(str(work / "removed")),
                PIIFormatter(),
                DocumentTokenizer(
                    str(work / "tokens"),
                    self.tokenizer,
                    local_working_dir=str(work / "unshuffled"),
                    eos_token="<|endoftext|>",
                    seed=7,
                ),
            )


def main() -> None:
    warm, warcs, work, tokenizer, model = sys.argv[1:6]
    bands, rows, words = map(int, sys.argv[6:])
    logger.remove()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    config = MinhashConfig(n_grams=words, num_buckets=bands, hashes_per_bucket=rows)
    Chain(Path(work) / "warm", tokenizer, model, config)(Path(warm))
    chain = Chain(Path(work) / "measured", tokenizer, model, config)
    start = cpu_seconds()
    chain(Path(warcs))
    seconds = cpu_seconds() - start
    index = next((chain.work / "tokens").glob("*.index"))
    tokens = next((chain.work / "tokens").glob("*.ds"))
    peak = sum(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        json.dumps(
            {
                "seconds": round(seconds, 3),
                "stages": chain.stages,
                "kept": index.stat().st_size // 8,
                "tokens": tokens.stat().st_size // 2,
                "peak_bytes": peak * 1024,
                "ended": time.strftime("%H:%M"),
            }
        )
    )


if __name__ == "__main__":
    main()
