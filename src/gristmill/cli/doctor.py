"""`doctor`: what this machine has, what it is good for, and how fast it multiplies."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import textwrap
from pathlib import Path
from typing import Any

from gristmill import __version__
from gristmill.cli.flags import parse_flags

_HELP = """gristmill doctor [--json]

What this machine has, how fast it multiplies matrices in fp32 and bf16, and
what it is good for.

example
  gristmill doctor"""

_LIBRARIES = ("torch", "numpy", "numba", "pyarrow", "aiohttp", "selectolax", "safetensors")


def doctor(arguments: list[str]) -> int:
    """Prints the findings; exit code 0 where the demo can run, 2 where it cannot."""
    flags = parse_flags(arguments, options=(), switches=("help", "json"), settings=False)
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    found = examine()
    if flags.on("json"):
        print(json.dumps(found))
    else:
        print(_as_text(found))
    return 2 if found["problems"] else 0


def examine() -> dict[str, Any]:
    """Everything `doctor` knows, as JSON values."""
    import psutil
    import torch

    from gristmill.train.precision import matmul_flops

    devices = {"cpu": _cpu_name()}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    speeds = {}
    for name in devices:
        device = torch.device(name)
        speeds[name] = {
            "fp32_gflops": round(matmul_flops(device, torch.float32, 1024) / 1e9, 1),
            "bf16_gflops": round(matmul_flops(device, torch.bfloat16, 1024) / 1e9, 1),
        }
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(Path.cwd())
    found: dict[str, Any] = {
        "gristmill": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory.total / 2**30, 1),
        "memory_free_gib": round(memory.available / 2**30, 1),
        "disk_free_gib": round(disk.free / 2**30, 1),
        "devices": devices,
        "speeds": speeds,
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "browser": _browser() or "",
    }
    found["problems"] = _problems(found)
    found["good_for"] = _good_for(found)
    return found


def _problems(found: dict[str, Any]) -> list[str]:
    problems = []
    if found["memory_free_gib"] < 3:
        problems.append("less than 3 GiB of memory are free; the demo needs up to 4")
    if found["disk_free_gib"] < 1:
        problems.append("less than 1 GiB of disk is free; the demo writes about 200 MB")
    problems += [
        f"{name} is not installed" for name, version in found["libraries"].items() if not version
    ]
    return problems


def _good_for(found: dict[str, Any]) -> list[str]:
    """What a device trains in an hour, at 6 FLOPs per parameter and token (Kaplan 2020, 2.1)."""
    said = []
    for name, speed in found["speeds"].items():
        peak = max(speed.values()) * 1e9
        precision = max(speed, key=speed.get).removesuffix("_gflops")
        # Small models reach about a third of the matmul peak.
        parameters = (peak / 3 * 3600 / (6 * 20)) ** 0.5
        said.append(
            f"{name} ({precision} is fastest): an hour trains about {_millions(parameters)} "
            f"parameters on {_millions(20 * parameters)} tokens, 20 for each"
        )
    if not found["problems"]:
        said.append("the demo: gristmill quickstart")
    return said


def _as_text(found: dict[str, Any]) -> str:
    lines = [f"gristmill {found['gristmill']}, Python {found['python']}", f"  {found['platform']}"]
    lines.append(
        f"  {found['cores']} cores, {found['memory_gib']} GiB of memory "
        f"({found['memory_free_gib']} free), {found['disk_free_gib']} GiB of disk free"
    )
    for name, label in found["devices"].items():
        speed = found["speeds"][name]
        lines.append(f"  {name}: {label}")
        lines.append(
            f"    matrix products, forward and backward: {speed['fp32_gflops']:,.0f} GFLOP/s "
            f"in fp32, {speed['bf16_gflops']:,.0f} in bf16"
        )
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    lines += textwrap.wrap(libraries, 78, initial_indent="  ", subsequent_indent="  ")
    lines += [f"  browser for page tests: {found['browser'] or 'none found'}"]
    for line in found["good_for"]:
        lines += textwrap.wrap(f"good for: {line}", 80, subsequent_indent="  ")
    lines += [f"problem: {line}" for line in found["problems"]]
    return "\n".join(lines)


def _millions(count: float) -> str:
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.0f} million"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
