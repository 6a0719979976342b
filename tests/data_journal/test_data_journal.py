"""Parts that are whole outlive damage, torn lines and kills; what is not whole is made again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gristmill.core.canonical import read_jsonl
from gristmill.data.journal import PartJournal


def write(journal: PartJournal, number: int, rejects: int = 1) -> None:
    part = f"part-{number:05d}"
    path = journal.folder / "layer" / f"{part}.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes([number]) * 100)
    bad = journal.write_rejects(part, "bad", [{"where": f"Ü{number}.{i}"} for i in range(rejects)])
    journal.end(part, [f"layer/{part}.bin", bad], {"rows": number})


def rows(journal: PartJournal) -> list[int]:
    return [note["rows"] for note in journal.notes()]


def test_what_is_whole_is_taken_over(tmp_path: Path) -> None:
    journal = PartJournal(tmp_path, "step")
    assert journal.parts == [] and rows(journal) == []
    for number in range(3):
        write(journal, number, rejects=number)
    # Of a part that no line names, whatever is there.
    (journal.folder / "layer" / "part-00003.bin").write_bytes(b"half")
    again = PartJournal(tmp_path, "step")
    assert again.parts == ["part-00000", "part-00001", "part-00002"]
    assert rows(again) == [0, 1, 2] == rows(journal)
    write(again, 3, rejects=0)
    out = tmp_path / "out"
    again.hand_over(out)
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert names == [*(f"layer/part-{n:05d}.bin" for n in range(4)), "rejects/bad.jsonl"]
    assert (out / "layer" / "part-00003.bin").read_bytes() == bytes([3]) * 100
    told = list(read_jsonl(out / "rejects" / "bad.jsonl"))
    assert told == [{"where": "Ü1.0"}, {"where": "Ü2.0"}, {"where": "Ü2.1"}]
    # It can be handed over again: a kill in the middle costs nothing.
    again.hand_over(tmp_path / "out2")
    assert (tmp_path / "out2" / "layer" / "part-00000.bin").exists()


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_a_damaged_part_and_all_after_it_are_made_again(tmp_path: Path, harm: str) -> None:
    journal = PartJournal(tmp_path)
    for number in range(4):
        write(journal, number)
    path = journal.folder / "layer" / "part-00002.bin"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data if harm == "flip" else data[:-1])
    again = PartJournal(tmp_path)
    assert again.parts == ["part-00000", "part-00001"] and rows(again) == [0, 1]
    write(again, 2)
    assert PartJournal(tmp_path).parts == ["part-00000", "part-00001", "part-00002"]


def test_a_line_that_a_kill_cut_off_is_none(tmp_path: Path) -> None:
    journal = PartJournal(tmp_path)
    write(journal, 0)
    path = journal.folder / "parts.jsonl"
    whole = path.read_bytes()
    line = '{"part": "part-Ü", "files": {}, "note": {}}\n'.encode()
    for end in range(1, len(line)):
        path.write_bytes(whole + line[:end])
        assert PartJournal(tmp_path).parts == ["part-00000"], line[:end]
    write(PartJournal(tmp_path), 1)
    assert PartJournal(tmp_path).parts == ["part-00000", "part-00001"]


def test_rejects_of_a_killed_attempt_are_not_those_of_the_next(tmp_path: Path) -> None:
    journal = PartJournal(tmp_path)
    journal.write_rejects("part-00000", "bad", [{"where": "old"}])
    again = PartJournal(tmp_path)
    write(again, 0, rejects=0)
    again.hand_over(tmp_path / "out")
    assert not (tmp_path / "out" / "rejects").exists()


CHILD = """
import sys
from pathlib import Path
from gristmill.data.journal import PartJournal
journal, leave = PartJournal(Path(sys.argv[1])), int(sys.argv[2])
for number in range(len(journal.parts), 120):
    if not leave:
        sys.stdin.read()  # nothing comes: here it waits to be killed
    leave -= 1
    part = f"part-{number:05d}"
    name = f"layer/{part}.bin"
    (journal.folder / "layer").mkdir(exist_ok=True)
    with open(journal.folder / name, "wb") as file:
        for row in range(20):
            file.write(f"{number}.{row}\\n".encode())
            file.flush()
    journal.end(part, [name], {"rows": [f"{number}.{row}" for row in range(20)]})
"""


@pytest.mark.skipif(os.name == "nt", reason="a POSIX signal")
def test_killed_at_random_points_no_row_is_lost_or_doubled(tmp_path: Path) -> None:
    draw = random.Random(7)
    path = tmp_path / "parts" / "parts.jsonl"
    # An attempt has leave for some parts, so that none ends before it is killed.
    for _ in range(5):
        have = len(PartJournal(tmp_path).parts)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), "20"], stdin=subprocess.PIPE
        )
        before = path.stat().st_size if path.exists() else 0
        while child.poll() is None and (not path.exists() or path.stat().st_size == before):
            time.sleep(0.0005)
        time.sleep(draw.random() * 0.005)
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        # What one attempt has done the next one has.
        assert have < len(PartJournal(tmp_path).parts) < 120
    last = [sys.executable, "-c", CHILD, str(tmp_path), "120"]
    subprocess.run(last, check=True, stdin=subprocess.DEVNULL)
    journal = PartJournal(tmp_path)
    wanted = [f"{number}.{row}" for number in range(120) for row in range(20)]
    assert [row for note in journal.notes() for row in note["rows"]] == wanted
    journal.hand_over(tmp_path / "out")
    parts = sorted((tmp_path / "out" / "layer").iterdir())
    assert [row for part in parts for row in part.read_text("utf-8").split()] == wanted
