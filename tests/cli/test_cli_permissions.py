"""A file that may not be read is the user's to mend: one line, no traceback."""

from __future__ import annotations

import errno

import pytest

from gristmill.cli import main as cli


def test_a_file_without_permission_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(arguments: list[str]) -> int:
        # Whoever runs the tests may be allowed to read everything.
        raise PermissionError(13, "Permission denied", "notes/secret.txt")

    monkeypatch.setattr(cli, "dispatch", refused)
    assert cli.main(["data", "import"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("gristmill: notes/secret.txt: this user may not read")
    assert told.count("\n") == 1

    def other(arguments: list[str]) -> int:
        raise PermissionError("ours")

    monkeypatch.setattr(cli, "dispatch", other)
    with pytest.raises(PermissionError, match="ours"):
        cli.main(["data", "import"])


def test_a_disk_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(arguments: list[str]) -> int:
        raise OSError(errno.EROFS, "Read-only file system", "ro/unfinished")

    monkeypatch.setattr(cli, "dispatch", refused)
    assert cli.main(["data", "import"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("gristmill: ro/unfinished: lies where nothing can be written")
    assert told.count("\n") == 1
