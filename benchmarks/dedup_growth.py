"""How `data dedup` grows: the whole step over many short documents.

    python benchmarks/dedup.py --growth

Of 100 documents 85 are lines of real ones (8 to 60 words), each line but once in a part, in which
every second word is that of another line and every fourth a number of its own, so that no two share
a shingle of five words but by a copy. 10 are near copies (a number more in front) and 5 exact ones,
of documents of the part before or of the one half as far from the first, so that what is far apart
must meet too and groups stay small. These shares are the same at every size. Sites have 200
documents, parts 50,000.

At 1, 4 and 16 times the input, each in a process of its own; made by another one. `growth`:
documents, CPU seconds, peak memory, bytes on disk a document. `slope`: memory at 16 times less that
at 1, over the documents between: what a document more costs, whatever a part takes.
`step_time_growth`: time of a document at 16 times over that at 1. `planted_near`, `planted_exact`:
of the copies made, those whose group is that of their original; `grouped_wrongly`: documents in a
group with what they are no copy of; both at 16 times, known answers.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from beside import peak_memory

from gristmill.core.artifact import Artifact, Manifest
from gristmill.core.records import document_id, document_schema
from gristmill.data.dedup.corpus import DedupSettings, deduplicate
from gristmill.data.documents import DocumentSet

PART, SITE = 50_000, 200
NEAR, EXACT = 0.10, 0.05
MANIFEST = Manifest.model_construct(kind="documents")


def write_documents(folder: Path, texts: Sequence[str], count: int) -> None:
    """`count` short documents, and of each its original (itself, of one that is no copy)."""
    draw = np.random.default_rng(3)
    lines = sorted({line for text in texts for line in text.split("\n")})
    # Words as the step sees them: `a.b(c)` would be three between two numbers.
    found_ = (re.findall(r"[A-Za-z0-9]+", line) for line in lines)
    pool = [words for words in found_ if 8 <= len(words) <= 60]
    originals = np.arange(count)
    (folder / "documents").mkdir(parents=True)
    for part, start in enumerate(range(0, count, PART)):
        size = min(PART, count - start)
        copies, near = round((NEAR + EXACT) * size), round(NEAR * size)
        places = draw.permutation(size)
        originals[start + places[:copies]] = -1
        found = [""] * size
        for place, own, other in zip(
            places[copies:].tolist(),
            draw.permutation(len(pool)).tolist() * (1 + size // len(pool)),
            draw.integers(0, len(pool), size).tolist(),
            strict=False,
        ):
            found[place] = _mixed(pool[own], pool[other], start + place)
        for half, source in enumerate((max(0, part - 1), part // 2)):
            # The texts at even places of `copies` are of one source, the others of the other.
            wanted = places[half:copies:2]
            texts_ = found
            if source < part:
                texts_ = pq.read_table(_file(folder, source), columns=["text"])["text"].to_pylist()
            own_ = np.arange(source * PART, source * PART + len(texts_))
            free = own_[originals[own_] == own_]
            chosen = free[draw.integers(0, len(free), len(wanted))]
            originals[start + wanted] = chosen
            for k, place, number in zip(
                range(half, copies, 2), wanted.tolist(), chosen.tolist(), strict=True
            ):
                text = texts_[number - source * PART]
                found[place] = f"{start + place} {text}" if k < near else text
        _write_part(folder, part, start, found, draw)
    np.save(folder / "originals.npy", originals)


def _mixed(words: list[str], others: list[str], number: int) -> str:
    words = list(words)
    many = min(len(words[::2]), len(others[::2]))
    words[: 2 * many : 2] = others[: 2 * many : 2]
    numbers = len(words[1::4])
    words[1::4] = [f"{number:x}q{k}" for k in range(numbers)]
    return " ".join(words)


def _write_part(
    folder: Path, part: int, start: int, texts: list[str], draw: np.random.Generator
) -> None:
    hosts = [f"site{number // SITE}.example" for number in range(start, start + len(texts))]
    urls = [f"http://{host}/{start + place}" for place, host in enumerate(hosts)]
    linked = draw.integers(0, len(hosts), len(hosts)).tolist()
    columns = {
        "id": [document_id(url, text) for url, text in zip(urls, texts, strict=True)],
        "url": urls,
        "host": hosts,
        "source": ["test"] * len(texts),
        "links": [[f"http://{hosts[one]}/"] for one in linked],
        "text": texts,
    }
    schema = document_schema()
    arrays = [pa.array(columns.get(one.name, [None] * len(texts)), one.type) for one in schema]
    table = pa.table(arrays, schema=schema)
    pq.write_table(table, _file(folder, part))


def _file(folder: Path, part: int) -> Path:
    return folder / "documents" / f"part-{part:05d}.parquet"


def document_set(folder: Path, texts: Sequence[str], part: int) -> DocumentSet:
    """Texts as documents of sites of 200, in parts of `part`."""
    draw = np.random.default_rng(4)
    (folder / "documents").mkdir(parents=True)
    for number, start in enumerate(range(0, len(texts), part)):
        _write_part(folder, number, start, list(texts[start : start + part]), draw)
    return DocumentSet(Artifact(path=folder, manifest=MANIFEST), ())


def whole_step(folder: Path) -> dict[str, Any]:
    """The step as it is by default, over what `write_documents` wrote; verdicts are counted."""
    documents = DocumentSet(Artifact(path=folder, manifest=MANIFEST), ())
    disk = 0
    (folder / "groups").write_bytes(b"")

    def write(part: Any) -> None:
        nonlocal disk
        if not disk:
            files = [file for file in scratch.rglob("*") if file.is_file()]
            disk = sum(file.stat().st_size for file in files)
        ids = documents.read(part.name, ["id"])["id"].to_pylist()
        both = [[int(name, 16) for name in names] for names in (ids, part.near_group)]
        with open(folder / "groups", "ab") as groups:
            groups.write(np.array(both, "<u8").T.tobytes())

    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        scratch = Path(temporary)
        start, wall = time.process_time(), time.monotonic()
        result = deduplicate(documents, DedupSettings(), write, scratch=scratch)
        seconds, wall = time.process_time() - start, time.monotonic() - wall
    assert result.estimate is not None
    return {
        "documents": result.counts["documents"],
        "seconds": seconds,
        "wall": wall,
        "memory": peak_memory(),
        "disk": disk / result.counts["documents"],
        "kept": result.counts["kept"],
        "exact": result.counts["exact_duplicate"],
        "near": result.counts["near_duplicate"],
        "recall": result.estimate.recall.value,
        "precision": result.estimate.precision.value,
    }


def known_answers(folder: Path) -> dict[str, Any]:
    """What the groups that `whole_step` wrote say of the copies that were planted."""
    originals: npt.NDArray[np.int64] = np.load(folder / "originals.npy")
    pairs = np.fromfile(folder / "groups", "<u8").reshape(-1, 2)
    order = np.argsort(pairs[:, 0])
    group = order[np.searchsorted(pairs[order, 0], pairs[:, 1])]
    copies = np.flatnonzero(originals != np.arange(len(originals)))
    found = group[copies] == group[originals[copies]]
    return {
        "planted": len(copies),
        "planted_found": int(found.sum()),
        "grouped_wrongly": int(np.sum(originals[group] != originals)),
    }


def growth(texts: Sequence[str], largest: int, script: str) -> dict[str, Any]:
    """`whole_step` at 1, 4 and 16 times the input."""
    print(f"\n{'documents':>12}{'CPU s':>8}{'memory, MB':>12}{'scratch, bytes/document':>26}")
    rows = []
    for count in (largest // 16, largest // 4, largest):
        with tempfile.TemporaryDirectory() as temporary:
            write_documents(Path(temporary), texts, count)
            one = asked(script, "--whole-step", temporary) | known_answers(Path(temporary))
        rows.append(one)
        print(
            f"{one['documents']:>12,}{one['seconds']:>8.1f}{one['memory'] / 1e6:>12.0f}"
            f"{one['disk']:>26.0f}",
            flush=True,
        )
    last, between = rows[-1], rows[-1]["documents"] - rows[0]["documents"]
    slope = (last["memory"] - rows[0]["memory"]) / between
    print(
        f"{slope:.0f} bytes of memory for a document more; kept {last['kept']:,}, exact"
        f" {last['exact']:,}, near {last['near']:,}; of {last['planted']:,} copies"
        f" {last['planted_found']:,} with their original, {last['grouped_wrongly']} documents with"
        f" what they are no copy of; sampled recall {last['recall']:.3f}, precision"
        f" {last['precision']:.3f}"
    )
    return {
        "slope": round(slope, 1),
        "step_growth": [
            [r["documents"], round(r["seconds"], 1), r["memory"], round(r["disk"], 1)] for r in rows
        ],
        "step_time_growth": round(last["seconds"] / rows[0]["seconds"] / 16, 2),
        "near_shares": [round(r["near"] / r["documents"], 4) for r in rows],
        "planted": last["planted"],
        "planted_found": last["planted_found"],
        "grouped_wrongly": last["grouped_wrongly"],
        "sampled_precision": round(last["precision"], 4),
    }


def asked(script: str, *arguments: str) -> dict[str, Any]:
    """The last line of a process of this benchmark."""
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
