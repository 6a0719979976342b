"""An ablation of the demo at test size, in a workspace where the demo itself has run."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGED = [
    "data.domains", "data.mix", "tokenizer.train", "tokenizer.encode", "train.lm",
    "evaluate.perplexity",
]  # fmt: skip


CHILD = """
import sys
from pathlib import Path
from gristmill.cli.main import main
from gristmill.stages.stage import Stage
artifacts, run = Path(sys.argv.pop(1)), Stage.run
def run_before_all_models_are_there(stage, *given, **options):
    if len(list(artifacts.glob("train.lm-*/manifest.json"))) == 2:
        sys.stdin.read()  # nothing comes: here it waits for its signal
    return run(stage, *given, **options)
Stage.run = run_before_all_models_are_there
sys.exit(main(sys.argv[1:]))
"""


def test_the_quality_filter_of_the_demo_killed_twice(finished: Any, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    shutil.copytree(finished.recipe.workspace, workspace)
    # The flags of the demo; what is evaluated beside perplexity is left out.
    flags = finished.recipe.command()[5:]
    flags[flags.index("--workspace") + 1] = str(workspace)
    call = ["study", "ablate", "demo", *flags]
    call += ["--vary", "data.quality=on,off", "--seeds", "1", "--until", "evaluate.perplexity"]

    def start(*program: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *program, *call, "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=finished.recipe.environment,
        )

    def sealed() -> dict[str, int]:
        found = (workspace / "artifacts").glob("[!.]*/manifest.json")
        return {path.parent.name: path.stat().st_mtime_ns for path in found}

    def kill(condition: Callable[[], bool], how: signal.Signals) -> int:
        process = start("-c", CHILD, str(workspace / "artifacts"))
        while not condition():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        process.communicate()
        return process.returncode

    def count(stage: str) -> int:
        return sum(name.startswith(stage) for name in sealed())

    before = sealed()
    assert kill(lambda: count("data.mix-") == 2, signal.SIGKILL) == -signal.SIGKILL
    assert kill(lambda: count("tokenizer.encode-") == 2, signal.SIGTERM) == 75
    process = start("-m", "gristmill")
    out, err = process.communicate()
    assert process.returncode == 0, err[-3000:]
    result = json.loads(out)
    after = sealed()
    assert {name: after[name] for name in before} == before
    # One evaluation for each setting, on their common text; else only what comes after the filter.
    made = sorted(name.rpartition("-")[0] for name in set(after) - set(before))
    assert made == sorted([*CHANGED, "evaluate.perplexity", "study.ablate"])
    assert [run["cached"] + run["ran"] for run in result["runs"]] == [12, len(CHANGED)]
    figures = result["figures"]
    assert 1 < figures["ablate.base.bits_per_byte@data.quality=off"]["value"] < 8
    assert "low" not in figures["ablate.difference.base.bits_per_byte@data.quality=off"]
