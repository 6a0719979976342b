"""`data filter` while its processes are killed: no document is lost or doubled, the bytes are those
of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.workspace import Workspace

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

PARTS, DOCUMENTS = 8, 15
ABORTS = PARTS * DOCUMENTS - 2
FILTER = """
import os, time

def slow(document, statistics):
    time.sleep(0.01)
    if "abort" in document["text"]:
        os.abort()
"""
SETTINGS = {
    "language.enabled": "false", "gopher_quality.min_words": "5", "c4.enabled": "false",
    "boilerplate.enabled": "false", "spam.enabled": "false", "memory_mb": "1024",
}  # fmt: skip


@dataclass(frozen=True)
class Filtering:
    """A run of `data filter` over the same documents, in a workspace of its own."""

    documents: Path
    custom: Path
    workspace: Path

    def start(self, *more: str) -> subprocess.Popen[str]:
        flags = [part for key, value in SETTINGS.items() for part in (f"--{key}", value)]
        return subprocess.Popen(
            [
                sys.executable, "-m", "gristmill", "data", "filter", "--json", "--workers", "1",
                "--documents", str(self.documents), "--workspace", str(self.workspace),
                "--custom", f"{self.custom}:slow", *flags, *more,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GRISTMILL_PROGRESS": "off", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def parts_done(self) -> int:
        """Parts in the journal of the run that is under way."""
        lines = 0
        for journal in self.workspace.glob("unfinished/*/filter/parts.jsonl"):
            lines += len(journal.read_bytes().splitlines())
        return lines

    def when(self, process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
        """Waits until then. Fails where the run ends before."""
        while not condition():
            if process.poll() is not None:
                pytest.fail(f"the run ended before: {process.communicate()[1][-3000:]}")
            time.sleep(0.02)

    def finish(self, process: subprocess.Popen[str]) -> Artifact:
        """The artifact of a run that ends by itself."""
        out, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors[-3000:]
        return Artifact.open(Path(json.loads(out)["path"]))


@pytest.fixture(scope="module")
def filtering(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Filtering]:
    folder = tmp_path_factory.mktemp("engine")
    (folder / "own.py").write_text(FILTER, encoding="utf-8")
    with open(folder / "rows.jsonl", "w", encoding="utf-8") as file:
        for number in range(PARTS * DOCUMENTS):
            text = (
                f"The mill number {number} stands on the bank of a river, and with every harvest "
                "its wheel turns. Farmers have brought their grain to it for many years."
            )
            text += " Then abort." if number == ABORTS else ""
            file.write(json.dumps({"text": text, "url": f"https://mill.example/{number}"}) + "\n")
    made = data_import.run(
        ImportConfig(path=folder / "rows.jsonl", part_documents=DOCUMENTS),
        {},
        Workspace.at(folder / "documents"),
    )
    return lambda name: Filtering(made.path, folder / "own.py", folder / name)


@pytest.fixture(scope="module")
def calm(filtering: Callable[[str], Filtering]) -> Artifact:
    run = filtering("calm")
    return run.finish(run.start())


def test_a_document_that_kills_its_worker_twice_is_in_quarantine(calm: Artifact) -> None:
    (line,) = (calm.path / "rejects" / "quarantine.jsonl").read_text("utf-8").splitlines()
    told = json.loads(line)
    assert (told["where"], told["reason"]) == (f"https://mill.example/{ABORTS}", "died: SIGABRT")
    assert calm.manifest.counts["kept"] == PARTS * DOCUMENTS - 1


def test_kill_9_of_the_run_and_of_a_worker(
    filtering: Callable[[str], Filtering], calm: Artifact
) -> None:
    run = filtering("killed")
    for parts in (0, 2, PARTS - 1):
        process = run.start()
        run.when(process, lambda parts=parts: run.parts_done() >= parts)  # type: ignore[misc]
        process.kill()
        process.communicate()
        assert run.parts_done() >= parts
    taken_over = run.parts_done()
    process = run.start()
    run.when(process, lambda: _kill_a_worker(process.pid))
    _same(run.finish(process), calm)
    assert taken_over >= PARTS - 1


def test_ray_finishes_when_a_node_is_killed(
    filtering: Callable[[str], Filtering], calm: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gristmill[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        lost = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
        run = filtering("ray")
        process = run.start("--engine", "ray", "--address", cluster.address)
        run.when(process, lambda: run.parts_done() >= 1)
        cluster.remove_node(lost, allow_graceful=False)
        assert run.parts_done() < PARTS
        _same(run.finish(process), calm)
    finally:
        cluster.shutdown()


def _kill_a_worker(parent: int) -> bool:
    for child in psutil.Process(parent).children():
        if any("spawn_main" in word for word in child.cmdline()):
            child.kill()
            return True
    return False


def _same(found: Artifact, calm: Artifact) -> None:
    ids = [
        pq.read_table(file, columns=["id"])["id"].to_pylist()
        for file in sorted((found.path / "layer").iterdir())
    ]
    everything = [one for part in ids for one in part]
    assert len(everything) == len(set(everything)) == PARTS * DOCUMENTS
    assert found.content == calm.content
