"""An extraction that is killed or interrupted goes on after the parts that are whole."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import read_jsonl
from gristmill.data.warc.writer import record_bytes
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.stage import Execution, Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
PAGES, PART = 600, 20
CHILD = """
import os
import signal
import sys
from gristmill.cli.main import main
from gristmill.data.journal import PartJournal
leave, end = int(os.environ["LEAVE"]), PartJournal.end
def end_if_there_is_leave(*told):
    global leave
    end(*told)
    leave -= 1
    if not leave:
        sys.stdin.read()  # nothing comes: here it waits for its signal
if __name__ == "__main__":  # worker processes read this file too
    PartJournal.end = end_if_there_is_leave
    # A shell that runs the tests in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
"""


class NoConfig(StageConfig):
    """Nothing to choose."""


@stage("data crawl", version=1, kind="pages", config=NoConfig, inputs={}, summary="", example="")
def write_pages(config: NoConfig, inputs: Inputs, output: Output) -> None:
    """A crawl's output; every seventh page is gone, every eleventh is none."""
    rows, offset = [], 0
    (output.path / "warc").mkdir()
    with open(output.path / "warc" / "a.warc.gz", "wb") as file:
        for i in range(PAGES):
            text = f"<p>The words of page {i}, which are a text. " + f"More of page {i}, too. " * 40
            body = b"\x89PNG" if i % 11 == 5 else f"<html><body>{text}</p></body></html>".encode()
            status = 404 if i % 7 == 3 else 200
            url = f"http://a.example/{i:04d}"
            block = f"HTTP/1.1 {status} X\r\nContent-Type: text/html\r\n\r\n".encode() + body
            member = gzip.compress(
                record_bytes("response", block, date="2026-01-02T03:04:05Z", target_uri=url)
            )
            file.write(member)
            rows.append({"url": url, "status": status, "content_type": "text/html", "digest": "",
                         "file": "a.warc.gz", "offset": offset, "length": len(member),
                         "fetched_at": "2026-01-02T03:04:05Z"})  # fmt: skip
            offset += len(member)
    pq.write_table(pa.Table.from_pylist(rows), output.path / "index.parquet")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    workspace = Workspace.at(tmp_path_factory.mktemp("straight"))
    pages = write_pages.run(NoConfig(), {}, workspace)
    config = ExtractConfig(part_pages=PART)
    made = data_extract.run(config, {"pages": pages}, workspace, execution=Execution(2))
    return pages, made


def start(
    folder: Path, pages: Artifact, progress: str = "off", leave: int = PAGES
) -> subprocess.Popen[str]:
    """leave: after so many parts it waits for a signal, so that it cannot end before."""
    program = folder.with_suffix(".py")
    program.write_text(CHILD, encoding="utf-8")
    arguments = ["data", "extract", "--pages", str(pages.path), "--part_pages", str(PART),
                 "--workspace", str(folder), "--workers", "1"]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, str(program), *arguments],
        env={**os.environ, "GRISTMILL_PROGRESS": progress, "LEAVE": str(leave)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def parts_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("unfinished/*/extract/documents/*.parquet"))


def parts_noted(folder: Path) -> int:
    journals = folder.glob("unfinished/*/extract/parts.jsonl")
    return sum(journal.read_bytes().count(b"\n") for journal in journals)


def wait_for(folder: Path, child: subprocess.Popen[str], parts: int) -> None:
    while child.poll() is None and parts_noted(folder) < parts:
        time.sleep(0.002)


def same(folder: Path, made: Artifact) -> None:
    again = Workspace.at(folder).latest("documents")
    assert again is not None and again.content == made.content
    again.verify()
    assert again.manifest.counts == made.manifest.counts
    assert again.read_json("presentation.json") == made.read_json("presentation.json")
    rejects = "rejects/extract.jsonl"
    assert again.file(rejects).read_bytes() == made.file(rejects).read_bytes()
    tables = [pq.read_table(path / "provenance") for path in (again.path, made.path)]
    assert tables[0].equals(tables[1])
    assert not list(folder.glob("unfinished/*/extract"))


def test_killed_again_and_again(straight: tuple[Artifact, Artifact], tmp_path: Path) -> None:
    pages, made = straight
    folder = tmp_path / "killed"
    draw = random.Random(3)
    first = 0
    for _ in range(3):
        have = parts_noted(folder)
        child = start(folder, pages, leave=9)
        wait_for(folder, child, have + draw.randrange(2, 8))
        time.sleep(draw.random() * 0.02)
        child.kill()
        _, told = child.communicate()
        assert child.returncode == -signal.SIGKILL, told
        assert have < parts_noted(folder) < PAGES // PART
        first = first or parts_of(folder)[0].stat().st_mtime_ns
    child = start(folder, pages)
    _, told = child.communicate()
    assert child.returncode == 0, told
    same(folder, made)
    # The part that the first attempt wrote is that of the artifact.
    [path] = folder.glob("artifacts/data.extract-*/documents/part-00000.parquet")
    assert path.stat().st_mtime_ns == first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(straight: tuple[Artifact, Artifact], tmp_path: Path, number: int) -> None:
    pages, made = straight
    folder = tmp_path / "run"
    child = start(folder, pages, leave=20)
    wait_for(folder, child, 3)
    child.send_signal(number)
    _, told = child.communicate()
    assert child.returncode == 75 and "goes on" in told, told
    [journal] = folder.glob("unfinished/*/extract/parts.jsonl")
    whole = len(list(read_jsonl(journal)))
    assert 2 <= whole < PAGES // PART
    child = start(folder, pages, progress="plain")
    _, told = child.communicate()
    assert child.returncode == 0, told
    assert f"data extract goes on after {whole * PART} of {PAGES} pages" in told
    same(folder, made)
