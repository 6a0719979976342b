"""What `benchmarks/engine.py` has the engine do: `data filter` over film reviews, `data extract` of
pages that hold them, and a global step over all of them; each in processes of its own, as a user
would run it."""

from __future__ import annotations

import gzip
import html
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill.data.warc.writer import record_bytes

PART = 500
POISON = "This page aborts whoever reads it."
POISONED = f"""
import os

def abort_on_poison(document, statistics):
    if {POISON!r} in document["text"]:
        os.abort()
"""
_MENU = "".join(f'<li><a href="/topic/{n}">Topic number {n}</a></li>' for n in range(40))
_PAGE = (
    "<html><head><title>Review {n}</title></head><body><nav><ul>{menu}</ul></nav><main><article>"
    "<h1>Review {n}</h1>{text}</article></main><footer><p>All rights reserved.</p></footer>"
    "</body></html>"
)
_REFUSES = '<head><meta name="robots" content="noindex">'

# A whole run in a process of its own, which then tells its processor time and its workers'.
TIMED = """
import json, os, sys
from gristmill.cli.main import main
code = main(sys.argv[1:])
t = os.times()
print(json.dumps({"own": t.user + t.system, "children": t.children_user + t.children_system}))
sys.exit(code)
"""


@dataclass(frozen=True)
class Made:
    """What a run came to; CPU seconds of the parent and of its workers."""

    artifact: Path
    content: str
    own: float
    children: float
    peak_bytes: int


class Filtering:
    """`data filter` in parts of 500 documents."""

    name = "filter"
    glob = "data.filter-*"
    journal = "unfinished/*/filter/parts.jsonl"

    def given(
        self, folder: Path, texts: Sequence[str], count: int, poison: int | None = None
    ) -> Path:
        """A documents artifact of so many reviews, again from the first where they end."""
        made = folder / f"documents-{count}-{poison}"
        rows = made / "rows.jsonl"
        made.mkdir()
        with open(rows, "w", encoding="utf-8") as file:
            for number in range(count):
                text = texts[number % len(texts)]
                text = f"{text} {POISON}" if number == poison else text
                file.write(json.dumps({"text": text, "url": _url(number)}) + "\n")
        told, _ = gristmill(
            "data", "import", "--path", rows, "--part_documents", PART, "--workspace", made
        )
        return Path(told["path"])

    def verb(self, given: Path, workspace: Path, *more: object) -> list[object]:
        # Languages need a model from a registry and say nothing of the engine.
        base = ["data", "filter", "--documents", given, "--workspace", workspace]
        return [*base, "--language.enabled", "false", *more]

    def compared(self, given: Path, artifact: Path) -> tuple[int, int]:
        """Documents of the base that the layer lacks, and rows that it has too many."""
        lost = doubled = 0
        for path in sorted((given / "documents").glob("*.parquet")):
            ids = _column(path, "id")
            found = _column(artifact / "layer" / path.name, "id")
            lost += len(set(ids) - set(found))
            doubled += len(found) - len(set(found)) + len(set(found) - set(ids))
        return lost, doubled


class Extracting:
    """`data extract` in parts of 500 pages."""

    name = "extract"
    glob = "data.extract-*"
    journal = "unfinished/*/extract/parts.jsonl"

    def given(
        self, folder: Path, texts: Sequence[str], count: int, poison: int | None = None
    ) -> Path:
        """A pages artifact: so many reviews, each in a page with a menu; every hundredth is
        refused by what it says of robots. poison: another that is."""
        made = folder / f"pages-{count}-{poison}"
        made.mkdir()
        with open(made / "pages.warc.gz", "wb") as file:
            for number in range(count):
                lines = texts[number % len(texts)].split("<br />")
                text = "".join(f"<p>{html.escape(line)}</p>" for line in lines if line.strip())
                page = _PAGE.format(n=number, menu=_MENU, text=text)
                if number == poison or number % 100 == 50:
                    page = page.replace("<head>", _REFUSES)
                block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}".encode()
                record = record_bytes(
                    "response", block, date="2026-01-02T03:04:05Z", target_uri=_url(number),
                    content_type="application/http; msgtype=response",
                )  # fmt: skip
                file.write(gzip.compress(record, 1))
        told, _ = gristmill("data", "warc", "--paths", made / "pages.warc.gz", "--workspace", made)
        return Path(told["path"])

    def verb(self, given: Path, workspace: Path, *more: object) -> list[object]:
        base = ["data", "extract", "--pages", given, "--workspace", workspace]
        return [*base, "--part_pages", PART, *more]

    def compared(self, given: Path, artifact: Path) -> tuple[int, int]:
        """Pages that are neither documents nor rejects, and those that are there twice."""
        pages = set(_column(given / "index.parquet", "url"))
        found: Counter[str] = Counter()
        for path in (artifact / "documents").glob("*.parquet"):
            found.update(_column(path, "url"))
        with open(artifact / "rejects" / "extract.jsonl", encoding="utf-8") as lines:
            found.update(json.loads(line)["url"] for line in lines)
        return len(pages - set(found)), sum(found.values()) - len(pages & set(found))


def made(work: Filtering | Extracting, given: Path, workspace: Path, *more: object) -> Made:
    """A run of the verb."""
    told, times = gristmill(*work.verb(given, workspace, *more))
    artifact = Path(told["path"])
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    return Made(
        artifact, manifest["content"], times["own"], times["children"],
        manifest["peak_memory_bytes"],
    )  # fmt: skip


def lines_command(given: Path, folder: Path, *more: object) -> list[str]:
    """The global step, `engine_lines.py`."""
    script = Path(__file__).with_name("engine_lines.py")
    return [sys.executable, str(script), *map(str, (given, folder, *more))]


def counted(given: Path, folder: Path, *more: object) -> dict[str, Any]:
    """What the global step tells."""
    found: dict[str, Any] = json.loads(run(lines_command(given, folder, *more)).splitlines()[-1])
    return found


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", TIMED, *map(str, arguments), "--json"]


def environment() -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **one, "GRISTMILL_PROGRESS": "off", "RAY_USAGE_STATS_ENABLED": "0"}


def gristmill(*arguments: object) -> tuple[dict[str, Any], dict[str, float]]:
    """What a verb printed as JSON, and its CPU seconds."""
    told, times = run(command(*arguments)).strip().splitlines()[-2:]
    return json.loads(told), json.loads(times)


def run(words: Sequence[str]) -> str:
    """What a command printed; ends the benchmark where it fails."""
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment(), check=False, encoding="utf-8"
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return done.stdout


def _url(number: int) -> str:
    return f"https://reviews.example/{number:07d}"


def _column(path: Path, name: str) -> list[str]:
    return pq.read_table(path, columns=[name])[name].to_pylist()
