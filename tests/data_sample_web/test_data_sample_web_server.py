"""The server: hosts by header, counts, and no orphan when its parent dies."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.sample_web.server import SampleWebServer, canonical, serve
from gristmill.data.sample_web.world import World
from gristmill.data.sample_web.write import write_world
from gristmill.data.wheel import WIKI_SUMMARIES


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("web")
    write_world(world, path, WIKI_SUMMARIES)
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[SampleWebServer]:
    with serve(folder / "pages.parquet") as running:
        yield running


def ask(
    server: SampleWebServer, host: str, path: str, method: str = "GET"
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=200)
    connection.request(method, path, headers={"Host": host})
    return connection.getresponse()


def test_pages_by_host(server: SampleWebServer, world: World) -> None:
    before = server.requests()
    for page in world.pages[:: len(world.pages) // 40]:
        answer = ask(server, page.host.upper() + ":8080", page.path)
        assert (answer.status, answer.read()) == (page.status, page.body)
        assert answer.getheader("Location") == page.location
        url = canonical(page.host, page.path)
        assert server.requests()[url] == before.get(url, 0) + 1


def test_requests_follow_each_other_on_one_connection(
    server: SampleWebServer, world: World
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=200)
    for page in [p for p in world.pages if p.status == 200][:30]:
        connection.request("GET", page.path, headers={"Host": page.host})
        assert connection.getresponse().read() == page.body


def test_what_is_not_there(server: SampleWebServer) -> None:
    assert ask(server, "encyclopaedia.example", "/nothing").status == 404
    assert ask(server, "unknown.example", "/").status == 404
    assert ask(server, "encyclopaedia.example", "/", "POST").status == 405
    head = ask(server, "encyclopaedia.example", "/", "HEAD")
    assert head.status == 200 and int(head.getheader("Content-Length") or 0) > 100
    assert head.read() == b""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=200)
    connection.putrequest("GET", "/", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 400


def test_it_ends_with_the_block_and_with_its_parent(folder: Path) -> None:
    log = folder / "log.txt"
    with serve(folder / "pages.parquet", log) as first:
        process = first._process
        for path in ("/", "/", "/drafts/x?y=%C3%A9"):
            ask(first, "encyclopaedia.example", path).read()
        # On record at once, not only at the end.
        asked = ["http://encyclopaedia.example/", "http://encyclopaedia.example/drafts/x?y=é"]
        assert log.read_text(encoding="utf-8").splitlines() == asked
    assert process.returncode == 0
    with pytest.raises(GristmillError, match="stopped"):
        first.requests()
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from gristmill.data.sample_web.server import serve\n"
        "block = serve(Path(sys.argv[1]))\nserver = block.__enter__()\n"
        "print(server._process.pid, flush=True)\nos._exit(9)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script, str(folder / "pages.parquet")],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert died.returncode == 9, died.stderr
    pid = int(died.stdout)
    deadline = time.monotonic() + 200
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="did not start"), serve(tmp_path / "none.parquet"):
        pass
