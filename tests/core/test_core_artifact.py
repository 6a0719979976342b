"""Artifacts: whole or not at all, and damage is found."""

import shutil
from pathlib import Path

import pytest

from gristmill.core.artifact import (
    Artifact,
    FileRef,
    Manifest,
    content_hash,
    hash_files,
    sealing,
    write_manifest,
)
from gristmill.core.errors import DamagedArtifact, GristmillError


def seal(folder: Path, files: dict[str, bytes], volatile: frozenset[str] = frozenset()) -> Artifact:
    with sealing(folder) as inside:
        for name, data in files.items():
            path = inside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        refs = hash_files(inside, volatile)
        write_manifest(
            inside,
            Manifest(
                kind="documents",
                stage="data.import",
                stage_version=1,
                code_version="0",
                key="ab" * 32,
                content=content_hash(refs),
                config={},
                files=refs,
                created="2026-01-01T00:00:00+00:00",
                seconds=1.0,
                cpu_seconds=1.0,
                peak_memory_bytes=1,
            ),
        )
    return Artifact.open(folder)


def test_a_sealed_artifact_verifies_and_leaves_no_temporary_folder(tmp_path: Path) -> None:
    artifact = seal(tmp_path / "a", {"x.txt": b"one", "sub/y.txt": b"two"})
    artifact.verify()
    assert artifact.file("sub/y.txt").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), sealing(tmp_path / "a") as inside:
        (inside / "x").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bit", range(8))
def test_one_flipped_bit_is_found(tmp_path: Path, bit: int) -> None:
    artifact = seal(tmp_path / "a", {"x.bin": bytes(100)})
    data = bytearray(artifact.file("x.bin").read_bytes())
    data[37] ^= 1 << bit
    artifact.file("x.bin").write_bytes(data)
    with pytest.raises(DamagedArtifact, match=r"x\.bin"):
        artifact.verify()


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    artifact = seal(tmp_path / "a", {"x.bin": b"1", "y.bin": b"2"})
    artifact.file("y.bin").unlink()
    with pytest.raises(DamagedArtifact, match=r"y\.bin is missing"):
        artifact.verify()


def test_a_changed_manifest_is_found(tmp_path: Path) -> None:
    artifact = seal(tmp_path / "a", {"x.bin": b"1"})
    manifest = artifact.path / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"seconds": 1.0', '"seconds": 2.0'))
    with pytest.raises(DamagedArtifact, match="manifest"):
        Artifact.open(artifact.path)
    manifest.write_text(text[: len(text) // 2])
    with pytest.raises(DamagedArtifact, match="manifest"):
        Artifact.open(artifact.path)


def test_a_folder_without_a_manifest_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match=r"no artifact here; give the folder"):
        Artifact.open(tmp_path)


def test_volatile_files_are_checked_but_are_not_content(tmp_path: Path) -> None:
    volatile = frozenset({"times.json", "log/"})
    one = seal(tmp_path / "1", {"x": b"1", "times.json": b"1", "log/a": b"1"}, volatile)
    two = seal(tmp_path / "2", {"x": b"1", "times.json": b"2", "log/a": b"2"}, volatile)
    other = seal(tmp_path / "3", {"x": b"2", "times.json": b"1", "log/a": b"1"}, volatile)
    assert one.content == two.content != other.content
    one.file("times.json").write_bytes(b"9")
    with pytest.raises(DamagedArtifact):
        one.verify()


def test_inputs_are_found_where_they_moved_together(tmp_path: Path) -> None:
    below = seal(tmp_path / "w" / "data.import-abababababab", {"x": b"1"})
    refs = hash_files(below.path, frozenset())
    assert all(isinstance(ref, FileRef) for ref in refs.values())
    from gristmill.stages.execute import _reference

    above_path = tmp_path / "w" / "above"
    reference = _reference(below, above_path)
    assert reference.path == "../data.import-abababababab"
    shutil.move(tmp_path / "w", tmp_path / "elsewhere")
    moved = Artifact(tmp_path / "elsewhere" / "above", below.manifest)
    assert moved.resolve(reference).content == below.content
    with pytest.raises(GristmillError, match="not the one"):
        moved.resolve(reference.model_copy(update={"content": "0" * 64}))
