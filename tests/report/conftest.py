"""What a real browser makes of a report."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

Measured = Callable[..., dict[str, Any]]


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    """(page, width, script, dark): what `script` puts into `found`, given the page's document `d`.

    The report allows no script, so a page around it measures.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next((path for path in map(shutil.which, names) if path), None)
    if browser is None:
        pytest.skip("no Chrome or Chromium on this machine: the page was not looked at in one")

    def measure(page: str, width: int, script: str, *, dark: bool = False) -> dict[str, Any]:
        (tmp_path / "report.html").write_text(page, encoding="utf-8")
        frame = tmp_path / "frame.html"
        frame.write_text(
            '<meta name="color-scheme" content="light dark"><body style="margin:0"><iframe '
            f'src="report.html" style="width:{width}px;height:900px;border:0"></iframe><script>'
            "onload = () => { const d = document.querySelector('iframe').contentDocument; let "
            f"found; {script}; document.body.dataset.found = JSON.stringify(found) }}</script>",
            encoding="utf-8",
        )
        done = subprocess.run(
            [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
             "--allow-file-access-from-files", f"--user-data-dir={tmp_path}/profile",
             f"--blink-settings=preferredColorScheme={0 if dark else 1}",
             f"--window-size={max(width, 500)},900", "--virtual-time-budget=5000", frame.as_uri()],
            capture_output=True, text=True,
        )  # fmt: skip
        match = re.search(r'data-found="([^"]*)"', done.stdout)
        assert match, done.stderr[-2000:]
        found: dict[str, Any] = json.loads(unescape(match[1]))
        return found

    return measure
