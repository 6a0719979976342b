"""The chain of benchmarks/pipeline.py on a Ray cluster of two nodes on this machine, for its --ray.

Once undisturbed, and once with a node killed when some parts of `data filter` are done, in the
middle of the chain: contents beside that of one process here. `data warc` and `tokenizer encode`
are the parts of the chain that stay in the process that started it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beside import missing

# Each has one processor, and room for the objects of a small machine.
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
JOURNAL = "unfinished/*/filter/parts.jsonl"
KILLED_AFTER = 1


def on_two_nodes(
    command: Sequence[str], folder: Path, local: dict[str, Any], environment: dict[str, str]
) -> dict[str, Any]:
    """What became of the chain. command: a run of ours, with `WORKSPACE` where its workspace
    stands, to which the cluster's address is added; local: what the same told without a cluster."""
    if any(importlib.util.find_spec(name) is None for name in ("ray", "pandas")):
        missing("Ray is not installed", "pip install 'gristmill[ray]'")
    os.environ.update(environment)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    found: dict[str, Any] = {}
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        node = cluster.add_node(**NODE)
        for what in ("calm", "killed"):
            workspace = folder / f"ray-{what}"
            words = [str(workspace) if word == "WORKSPACE" else word for word in command]
            start = time.monotonic()
            process = subprocess.Popen(
                [*words, "--address", cluster.address], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, env={**os.environ},
            )  # fmt: skip
            if what == "killed":
                while process.poll() is None and _done(workspace) < KILLED_AFTER:
                    time.sleep(0.02)
                found["killed_after_parts"] = _done(workspace)
                cluster.remove_node(node, allow_graceful=False)
            out, errors = process.communicate()
            if process.returncode:
                raise SystemExit(errors[-3000:])
            told = json.loads(out.strip().splitlines()[-1])
            found[f"{what}_seconds"] = round(time.monotonic() - start, 1)
            found["same_content" if what == "calm" else "same_content_after_kill"] = _same(
                told, local
            )
            print(f"{what}: {found}", flush=True)
    finally:
        cluster.shutdown()
    return found


def _done(workspace: Path) -> int:
    """Parts in the journal of the filter that is under way."""
    return sum(len(path.read_bytes().splitlines()) for path in workspace.glob(JOURNAL))


def _same(told: dict[str, Any], local: dict[str, Any]) -> bool:
    """The shards, and what every step counted on the way."""
    return bool(told["content"] == local["content"] and told["counts"] == local["counts"])
