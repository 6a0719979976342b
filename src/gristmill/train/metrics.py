"""`metrics.jsonl`: what a run measured, one record a line, only ever added to.

A run that was killed goes on from its last checkpoint and writes the steps after it again: equal
values, other times. Readers take the last record of each step.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gristmill.core.canonical import read_jsonl
from gristmill.train.sinks import MetricsSink

METRICS = "metrics.jsonl"


class MetricsLog:
    """Appends records; a line that a crash cut off is dropped when the log is opened. sinks: read
    the same records, and are closed with it."""

    def __init__(self, path: Path, sinks: Sequence[MetricsSink] = ()):
        if path.exists():
            whole = path.read_bytes().rfind(b"\n") + 1
            if whole != path.stat().st_size:
                os.truncate(path, whole)
        self._file = open(path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115
        self._sinks = sinks

    def write(self, record: Mapping[str, Any]) -> None:
        """One record; numbers that JSON does not have become null."""
        values = {key: _json(value) for key, value in record.items()}
        self._file.write(json.dumps(values, ensure_ascii=False) + "\n")
        self._file.flush()
        for sink in self._sinks:
            sink.write(values)

    def close(self) -> None:
        """Makes it durable."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        finally:
            for sink in self._sinks:
                sink.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of the steps in order, one a step; probes' values are in their step's record."""
    steps: dict[int, dict[str, Any]] = {}
    if path.exists():
        for record in read_jsonl(path):
            steps.setdefault(record["step"], {}).update(record)
    return [steps[step] for step in sorted(steps)]


def _json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return value
