"""`data filter` while its processes are killed, and all that runs on a cluster while nodes are: no
document is lost or doubled, the bytes are those of a run that nobody disturbed."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from gristmill.core.artifact import Artifact
from gristmill.data.warc.writer import record_bytes
from gristmill.stages.data_decontaminate import DecontaminateConfig, data_decontaminate
from gristmill.stages.data_dedup import DedupConfig, data_dedup
from gristmill.stages.data_extract import ExtractConfig, data_extract
from gristmill.stages.data_import import ImportConfig, data_import
from gristmill.stages.data_mix import MixConfig, data_mix
from gristmill.stages.data_warc import WarcConfig, data_warc
from gristmill.stages.stage import Execution
from gristmill.stages.workspace import Workspace

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

PARTS, DOCUMENTS = 8, 15
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
ABORTS = PARTS * DOCUMENTS - 2
FILTER = """
import os, time
from pathlib import Path

def slow(document, statistics):
    time.sleep(0.01)
    while int(document["text"].split()[3]) >= int(Path({leave!r}).read_text()):
        time.sleep(0.01)
    if "abort" in document["text"]:
        os.abort()
"""
SETTINGS = {
    "language.enabled": "false", "gopher_quality.min_words": "5", "c4.enabled": "false",
    "boilerplate.enabled": "false", "spam.enabled": "false", "memory_mb": "1024",
    "seconds_per_document": "300",
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

    def leave(self, parts: int) -> None:
        """Documents behind the middle of the part of this number wait until there is more leave,
        so that a run that is to be disturbed cannot end before."""
        found = self.custom.with_name("leave")
        found.with_suffix(".new").write_text(str(parts * DOCUMENTS + DOCUMENTS // 2), "utf-8")
        found.with_suffix(".new").replace(found)

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
        self.leave(PARTS)
        out, errors = process.communicate()
        assert process.returncode == 0, errors[-3000:]
        return Artifact.open(Path(json.loads(out)["path"]))


@pytest.fixture(scope="module")
def filtering(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Filtering]:
    folder = tmp_path_factory.mktemp("engine")
    own = FILTER.format(leave=str(folder / "leave"))
    (folder / "own.py").write_text(own, encoding="utf-8")
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
    run.leave(PARTS)
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
        run.leave(parts)
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


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head with one processor; tests add nodes to it and kill them."""
    for name in ("ray", "pandas"):
        pytest.importorskip(name, reason="without Ray: pip install 'gristmill[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    yield made
    made.shutdown()


def test_ray_finishes_when_a_node_is_killed(
    filtering: Callable[[str], Filtering], calm: Artifact, cluster: Any
) -> None:
    lost = cluster.add_node(**NODE)
    run = filtering("ray")
    run.leave(PARTS - 1)
    process = run.start("--engine", "ray", "--address", cluster.address)
    run.when(process, lambda: run.parts_done() >= 1)
    cluster.remove_node(lost, allow_graceful=False)
    assert run.parts_done() < PARTS
    _same(run.finish(process), calm)


def test_a_mixture_on_ray_is_the_local_one_when_a_node_is_killed(
    filtering: Callable[[str], Filtering], cluster: Any, tmp_path: Path
) -> None:
    base = Artifact.open(filtering("ray").documents)
    (tmp_path / "items.jsonl").write_text(
        json.dumps({"text": "grain to it for many years Then abort"}) + "\n", encoding="utf-8"
    )
    lost, ended = cluster.add_node(**NODE), threading.Event()

    def kill() -> None:
        while not list(tmp_path.glob("ray/unfinished/*/mix/*/part-*")) and not ended.wait(0.01):
            pass
        cluster.remove_node(lost, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    contents = []
    for how in (Execution(1, engine="ray", address=cluster.address), Execution(1)):
        workspace = Workspace.at(tmp_path / how.engine)
        clean = data_decontaminate.run(
            DecontaminateConfig(sets=[tmp_path / "items.jsonl"], short_n=7), {"documents": base},
            workspace, execution=how,
        )  # fmt: skip
        config = MixConfig(documents_per_part=30, heldout_share=0.2, leak_share=1.0)
        mixed = data_mix.run(config, {"documents": clean}, workspace, execution=how)
        assert clean.manifest.counts["contaminated"] == 1
        assert len(list((mixed.path / "train").iterdir())) == 4
        contents.append((clean.content, mixed.content))
        ended.set()
    killer.join()
    assert contents[0] == contents[1]


def test_extraction_and_import_on_ray(cluster: Any, tmp_path: Path) -> None:
    pages = "".join(
        f"<html><body><main><p>Page {n} tells of a mill at a river, and of its wheel.</main>\0"
        for n in range(12)
    ).split("\0")[:-1]
    (tmp_path / "saved").mkdir()
    with open(tmp_path / "pages.warc.gz", "wb") as file:
        for number, page in enumerate(pages):
            (tmp_path / "saved" / f"{number:02d}.html").write_text(page, encoding="utf-8")
            block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}".encode()
            url = f"http://mill.example/{number:02d}"
            kind = "application/http; msgtype=response"
            file.write(
                gzip.compress(
                    record_bytes(
                        "response", block, date="2026-01-02T03:04:05Z", target_uri=url,
                        content_type=kind,
                    )
                )
            )  # fmt: skip
    config = WarcConfig(paths=[str(tmp_path / "pages.warc.gz")])
    crawled = data_warc.run(config, {}, Workspace.at(tmp_path / "pages"))
    here, there = Execution(1), Execution(1, engine="ray", address=cluster.address)
    for name, run in (
        ("pages", partial(data_extract.run, ExtractConfig(part_pages=5), {"pages": crawled})),
        ("saved", partial(data_import.run, ImportConfig(path=tmp_path / "saved"), {})),
    ):
        alone = run(Workspace.at(tmp_path / f"{name}-local"), execution=here)
        found = run(Workspace.at(tmp_path / f"{name}-ray"), execution=there)
        assert found.manifest.counts["documents"] == 12
        assert found.content == alone.content


def test_deduplication_on_ray(cluster: Any, tmp_path: Path) -> None:
    rows = [f"Page {n} of {n * n} mills tells {n} and {n + 1} tales of them" for n in range(30)]
    rows += [f"{row} again" for row in rows[:7]] + rows[:5]
    texts = [f"{row}\nTold by the mill at the river" for row in rows]
    (tmp_path / "rows.jsonl").write_text(
        "".join(
            json.dumps({"url": f"http://mill.example/{n}", "text": text}) + "\n"
            for n, text in enumerate(texts)
        ),
        encoding="utf-8",
    )
    given = ImportConfig(path=tmp_path / "rows.jsonl", part_documents=9)
    documents = data_import.run(given, {}, Workspace.at(tmp_path / "rows"))
    config = DedupConfig.model_validate({"near": {"keep_index": True}})
    found = [
        data_dedup.run(
            config, {"documents": documents}, Workspace.at(tmp_path / name), execution=on
        )
        for name, on in (
            ("local", Execution(1)),
            ("ray", Execution(1, engine="ray", address=cluster.address)),
        )
    ]
    assert found[0].content == found[1].content
    counts = found[1].manifest.counts
    assert (counts["exact_duplicate"], counts["near_duplicate"]) == (5, 7)
    assert counts["repeated_lines"] == len(texts)


def _kill_a_worker(parent: int) -> bool:
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself
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
