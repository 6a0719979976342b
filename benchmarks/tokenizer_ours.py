"""Ours, for benchmarks/tokenizer.py: one task in a process of its own.

    python benchmarks/tokenizer_ours.py TASK DOCUMENTS SOURCE PATTERN OUT [TURNS NAMES]

The tasks are those of `peers/tokenizer_peer.py`, train and encode, and shards and worst, which have
no peer. DOCUMENTS holds a JSON string a line; SOURCE is the size of the vocabulary to train, or the
file of ranks to encode with. The last line is JSON: CPU seconds, and the memory in bytes that the
task adds to the process at its peak.
"""

from __future__ import annotations

import gc
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from beside import peak_memory

if TYPE_CHECKING:
    from gristmill.tokenizer.tokenizer import Tokenizer


def main(task: str, text: str, source: str, pattern: str, out: str, *more: str) -> None:
    """One task; compiled kernels are warmed up on other text first."""
    with Path(text).open(encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    if task == "train":
        result: dict[str, Any] = _train(texts, int(source), pattern, Path(out))
    else:
        tokenizer = _cl100k(Path(source), pattern)
        if task == "encode":
            result = _encode(texts, tokenizer, Path(out))
        elif task == "shards":
            result = _shards(texts, tokenizer, Path(out), int(more[0]), more[1].split(","))
        else:
            result = _worst("".join(texts[:2000]), tokenizer)
    print(json.dumps(result))


def _train(texts: list[str], vocabulary: int, pattern: str, out: Path) -> dict[str, float]:
    import psutil

    from gristmill.tokenizer.training import train_tokenizer

    other = " ".join(f"{number * 7919 % 10_007} words" for number in range(5000))
    train_tokenizer([other], 900, pattern=pattern)
    gc.collect()
    before = psutil.Process().memory_info().rss
    start = time.process_time()
    # No peer caps a token's length; rustbpe's tokens are to come out, all in its order.
    made = train_tokenizer(
        texts, vocabulary, pattern=pattern, special_tokens=(), max_token_length=None
    )
    seconds = time.process_time() - start
    out.write_text("\n".join(token.hex() for token in made.vocabulary.tokens), encoding="ascii")
    return {"seconds": seconds, "memory": peak_memory() - before}


def _cl100k(ranks: Path, pattern: str) -> Tokenizer:
    """With an end of text, as shards need one; compiled, on words that fill one slot."""
    from gristmill.tokenizer.tiktoken_file import read_tiktoken
    from gristmill.tokenizer.tokenizer import Tokenizer

    read = read_tiktoken(ranks, pattern)
    end = {"<|endoftext|>": len(read.tokens)}
    made = Tokenizer(
        replace(read, tokens=(*read.tokens, *map(str.encode, end)), special_tokens=end)
    )
    made.encode_batch(["warm " * 50_000])
    gc.collect()
    return made


def _encode(texts: list[str], tokenizer: Tokenizer, out: Path) -> dict[str, float]:
    import psutil

    before = psutil.Process().memory_info().rss
    start = time.process_time()
    found = tokenizer.encode_batch(texts)
    seconds = time.process_time() - start
    memory = peak_memory() - before
    np.concatenate(found).astype("<u4").tofile(out)
    return {"seconds": seconds, "memory": memory}


def _shards(
    texts: list[str], tokenizer: Tokenizer, folder: Path, turns: int, names: list[str]
) -> dict[str, dict[str, list[float]]]:
    import pyarrow as pa

    from gristmill.core.records import mixture_schema
    from gristmill.data.documents import write_parquet
    from gristmill.tokenizer.corpus import encode_mixture

    columns: list[tuple[Any, Any]] = []
    # One for each worker, of fewer documents than `data mix` writes into one (50,000).
    parts = [texts[first::2] for first in range(2)]
    for number, part in enumerate(parts):
        row = {"host": "site.example", "domain": "prose", "quality": 0.5, "repeats": 1}
        rows = [
            {**row, "id": f"{i:016x}", "url": f"https://site.example/{i}", "group": str(i),
             "anneal": False, "text": text}
            for i, text in enumerate(part)
        ]  # fmt: skip
        table = pa.Table.from_pylist(rows, schema=mixture_schema())
        # As `data mix` writes them, and as other programs would.
        name = f"train/part-{number:05d}.parquet"
        write_parquet(folder / "mixture" / name, table, compression="lz4")
        write_parquet(folder / "zstd" / name, table)
        data = [text.encode() for text in part]
        ends = np.cumsum([len(document) for document in data], dtype=np.int64)
        columns.append((np.frombuffer(b"".join(data), dtype=np.uint8), ends))

    def encode(workers: int, mixture: str = "mixture") -> Any:
        return encode_mixture(folder / mixture, tokenizer, folder / "out", workers=workers)

    def on_threads(workers: int, work: Callable[[Any], Any], items: Sequence[Any]) -> Any:
        # Threads of its own, as what a thread has seen is its own.
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, items))

    known: dict[str, Callable[[int], Any]] = {
        "texts": lambda workers: on_threads(workers, tokenizer.encode_batch, parts),
        "tokenizer encode": encode,
        "column": lambda workers: on_threads(workers, _joined(tokenizer), columns),
        "tokenizer encode of zstd": lambda workers: encode(workers, "zstd"),
    }
    measured = [(name, known[name]) for name in names]
    cpu: dict[str, list[float]] = {}
    wall: dict[str, list[float]] = {}
    for turn in range(-1, turns):
        # Each is before and behind the other as often: what one leaves in caches is the other's.
        for workers in (1, 2):
            for name, work in measured if turn % 2 else reversed(measured):
                # Shards of before are gone: the disk is not still busy with ever more of them.
                shutil.rmtree(folder / "out", ignore_errors=True)
                gc.collect()
                start, began = time.process_time(), time.perf_counter()
                result = work(workers)
                ended, cpu_ended = time.perf_counter(), time.process_time()
                # To let go of the ids is not the encoder's work.
                del result
                if turn >= 0:
                    cpu.setdefault(f"{name}, {workers}", []).append(cpu_ended - start)
                    wall.setdefault(f"{name}, {workers}", []).append(ended - began)
    return {"cpu": cpu, "wall": wall}


def _joined(tokenizer: Tokenizer) -> Callable[[Any], Any]:
    return lambda column: tokenizer.encode_joined(*column, tokenizer.eot_id)


def _worst(ordinary: str, tokenizer: Tokenizer) -> dict[str, dict[str, float]]:
    """Megabytes without end: one letter, letters, blanks, digits, a character of four bytes."""
    draw = random.Random(1)
    size = 1_000_000
    cases = {
        "one letter": "a" * size,
        "letters without a blank": "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=size)),
        "blanks": " " * size,
        "digits": "".join(draw.choices("0123456789", k=size)),
        "a character of four bytes": "\U0001f33e" * (size // 4),
    }
    tokenizer.encode(ordinary)
    usual = _least(tokenizer, ordinary.encode()) / len(ordinary.encode())
    found = {}
    for name, text in cases.items():
        half, whole = (_least(tokenizer, text.encode()[:n]) for n in (size // 2, size))
        found[name] = {"bytes": round(whole / size / usual, 1), "twice": round(whole / half, 1)}
    return found


def _least(tokenizer: Tokenizer, text: bytes) -> float:
    """The least of ten, in CPU seconds, as a megabyte may take milliseconds; of as many as a
    quarter of a second allows, as it may take one."""
    seconds: list[float] = []
    while len(seconds) < 10 and sum(seconds) < 0.25:
        start = time.process_time()
        tokenizer.encode_bytes(text)
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
