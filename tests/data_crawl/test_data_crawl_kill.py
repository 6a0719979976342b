"""A crawl that is killed or interrupted goes on and ends as if nothing had happened."""

import asyncio
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from gristmill.data.crawl.attempt import crawl
from gristmill.data.crawl.seal import seal
from gristmill.data.warc.reader import Damage, read_record, read_records

CHILD = """
import json, sys
from pathlib import Path
from gristmill.core.errors import Retryable
from gristmill.data.crawl import attempt, ledger
from gristmill.data.crawl.plan import Plan
ledger._COMMIT_RESULTS = 25
values = json.loads(sys.argv[2])
try:
    attempt.crawl(Path(sys.argv[1]), Plan(**values))
except Retryable as error:
    print(error.one_line())
    sys.exit(75)
"""
PAGES = 260


def _settings(port: int) -> dict[str, Any]:
    return {
        "seeds": ["http://a.example/"],
        "hosts": ["*.example"],
        "resolve": {"*.example": f"127.0.0.1:{port}"},
        "resolved_delay": 0.0,
        "concurrency": 6,
        "warc_bytes": 100_000,
        "max_depth": 6,
        "max_pages": 200,
        "timeout": 200.0,
    }


@pytest.fixture
def large(site: Any) -> Any:
    """Pages that link to each other, some of them moved, gone or forbidden."""

    async def page(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            return web.Response(text="User-agent: *\nDisallow: /13\n")
        if request.path.startswith("/."):
            return web.Response(status=404)
        n = int(request.path[1:] or 0)
        await asyncio.sleep(random.random() * 0.02)
        if n % 17 == 5:
            raise web.HTTPFound(f"/{n + 1}")
        if n % 19 == 7:
            return web.Response(status=404)
        random_ = random.Random(n)
        links = [f"/{random_.randrange(PAGES)}" for _ in range(3)]
        links.append(f"http://b.example/{random_.randrange(PAGES)}")
        body = f"<p>{random_.randbytes(1500).hex()}" + "".join(f'<a href="{i}">' for i in links)
        return web.Response(text=body, content_type="text/html")

    site.other = page
    return site


def _start(folder: Path, port: int) -> subprocess.Popen[str]:
    import json

    command = [sys.executable, "-c", CHILD, str(folder), json.dumps(_settings(port))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _seal(folder: Path, make_plan: Callable[..., Any], port: int) -> tuple[str, Any]:
    output = folder.with_name(folder.name + "-out")
    output.mkdir()
    content, reasons = seal(folder, make_plan(**_settings(port)), output)
    frontier = pq.read_table(output / "frontier.parquet").to_pylist()
    index = pq.read_table(output / "index.parquet").to_pylist()
    damage: list[Damage] = []
    stored: dict[str, int] = {}
    for path in sorted((output / "warc").iterdir()):
        for record in read_records(path, on_damage=damage.append):
            if record.http().status == 200:
                stored[record.url] = stored.get(record.url, 0) + 1
    assert damage == []
    assert stored == {row["url"]: 1 for row in index}
    for row in index:
        assert read_record(output / "warc" / row["file"], row["offset"]).url == row["url"]
    return content, (frontier, reasons)


def _fetched(folder: Path) -> int:
    try:
        with sqlite3.connect(f"file:{folder / 'frontier.sqlite'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM urls WHERE state='fetched'").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_killed_again_and_again(large: Any, make_plan: Any, tmp_path: Path) -> None:
    straight = tmp_path / "straight"
    crawl(straight, make_plan(**_settings(large.port)))
    wanted = _seal(straight, make_plan, large.port)

    folder = tmp_path / "killed"
    random_ = random.Random(4)
    for _ in range(5):
        # So few answers that no attempt ends before it is killed.
        large.leave = 45
        child = _start(folder, large.port)
        enough = _fetched(folder) + random_.randrange(5, 30)
        while child.poll() is None and _fetched(folder) < enough and large.leave > 0:
            time.sleep(0.01)
        # Some way into what is not committed yet, so that the files hold more than the journal.
        time.sleep(random_.random() * 0.05)
        child.kill()
        child.communicate()
        assert child.returncode == (1 if os.name == "nt" else -signal.SIGKILL)
    assert 0 < _fetched(folder) < 200
    large.leave = math.inf
    child = _start(folder, large.port)
    child.communicate()
    assert child.returncode == 0
    assert _seal(folder, make_plan, large.port) == wanted


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(large: Any, make_plan: Any, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "run"
    large.leave = 100
    child = _start(folder, large.port)
    while child.poll() is None and _fetched(folder) < 30 and large.leave > 0:
        time.sleep(0.02)
    child.send_signal(number)
    out, _ = child.communicate()
    large.leave = math.inf
    assert child.returncode == 75
    assert "goes on from here" in out
    assert 30 <= _fetched(folder) < 150
    asked = len(large.asked)
    crawl(folder, make_plan(**_settings(large.port)))
    _seal(folder, make_plan, large.port)
    # What was fetched before the signal was not fetched again, but for what was in flight.
    pages = [at for _, at in large.asked if at.endswith("/") or at[-1].isdigit()]
    assert len(pages) - len(set(pages)) <= 6 and asked > 30
