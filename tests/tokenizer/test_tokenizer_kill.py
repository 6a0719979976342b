"""`kill -9` while `tokenizer train` counts: it goes on, and the tokenizer is the same."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gristmill.core.artifact import Artifact
from gristmill.stages.stage import Execution
from gristmill.stages.tokenizer_train import TokenizerTrainConfig, tokenizer_train
from gristmill.stages.workspace import Workspace

_LEAST = 1 << 20


@pytest.fixture
def mixture(
    write_mixture: Callable[..., Path], seal: Callable[[Path, str, str], Artifact]
) -> Artifact:
    """Fourteen megabytes of invented words, most of them new: three batches, a run for each."""
    letters = b"abcdefghijklmnopqrstuvwxyz"
    rng = random.Random(3)
    documents = []
    for _ in range(28):
        data = bytearray(rng.randbytes(500_000))
        table = bytes(letters[i % 26] if i % 9 else 32 for i in range(256))
        documents.append(data.translate(table).decode())
    return seal(write_mixture([documents[:14], documents[14:]], [["a word"]]), "mixture", "mix")


_CHILD = """
import sys
from gristmill.cli.main import main
from gristmill.tokenizer.counted_runs import _Runs
leave, write = int(sys.argv.pop(1)), _Runs.write
def write_if_there_is_leave(runs, *counted):
    write(runs, *counted)
    if len(runs.files) == leave:
        sys.stdin.read()  # nothing comes: here it waits to be killed
_Runs.write = write_if_there_is_leave
sys.exit(main(sys.argv[1:]))
"""


def _start(mixture: Artifact, workspace: Path, leave: int) -> subprocess.Popen[bytes]:
    """leave: with so many runs on disk it goes no further, so that it cannot end before."""
    arguments = ["--mixture", mixture.path, "--workspace", workspace, "--vocab_size", 400,
                 "--memory", _LEAST]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(leave), "tokenizer", "train", *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def _files(workspace: Path) -> tuple[list[str], list[str]]:
    """Runs of counted pretokens, and the lines of their journal."""
    for folder in (workspace / "unfinished").glob("tokenizer.train-*"):
        journal = folder / "counted.jsonl"
        lines = journal.read_text(encoding="utf-8").split("\n")[:-1] if journal.exists() else []
        return sorted(path.name for path in folder.glob("counted/*")), lines
    return [], []


def test_killed_while_it_counts(mixture: Artifact, tmp_path: Path) -> None:
    config = TokenizerTrainConfig(vocab_size=400)
    straight = tokenizer_train.run(
        config, {"mixture": mixture}, Workspace.at(tmp_path / "a"), execution=Execution(workers=1)
    )
    workspace, noted = tmp_path / "killed", []
    # Behind the first line of the journal; a while behind the second.
    for files, lines, wait in ((1, 1, 0.0), (2, 2, 0.03)):
        child = _start(mixture, workspace, leave=lines + 1)
        while True:
            found = _files(workspace)
            if len(found[0]) >= files and len(found[1]) >= lines:
                break
            assert child.poll() is None
            time.sleep(0.001)
        time.sleep(wait)
        child.kill()
        child.communicate()
        assert child.returncode not in (0, 2)
        assert _files(workspace)[1][: len(noted)] == noted, "what was noted is kept"
        noted = _files(workspace)[1]
        names = [json.loads(line)["file"] for line in noted]
        assert len(set(names)) == len(names), "nothing is counted again"
    assert len(noted) >= 2
    child = _start(mixture, workspace, leave=-1)
    _, error = child.communicate()
    assert child.returncode == 0, error[-2000:]
    (made,) = (workspace / "artifacts").glob("tokenizer.train-*")
    assert Artifact.open(made).content == straight.content
    for name in ("tokenizer.json", "ranks.tiktoken", "tokenizer_config.json"):
        assert (made / name).read_bytes() == (straight.path / name).read_bytes()
    assert not list((workspace / "unfinished").glob("tokenizer.train-*"))
