"""Progress never breaks the work, whatever shows it."""

import pytest

from gristmill.core.progress import PlainProgress, RichProgress, Silent, progress, track


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    assert isinstance(progress("x"), Silent)
    monkeypatch.setenv("GRISTMILL_PROGRESS", "plain")
    assert isinstance(progress("x"), PlainProgress)


def test_plain_lines_carry_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    bar = PlainProgress("crawl", 100, "pages")
    bar._last -= 60
    bar._start -= 60
    bar.advance(50, note="5 hosts")
    line = capsys.readouterr().err
    assert "crawl: 50 of 100 pages" in line and "60 s left" in line and "5 hosts" in line


def test_track_gives_every_item_and_closes_on_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "plain")
    assert list(track([1, 2, 3], "t")) == [1, 2, 3]
    assert list(track(iter([1, 2]), "t")) == [1, 2]


def test_a_title_is_not_markup_and_a_note_leaves_the_numbers_where_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    bar = RichProgress("a [b]", 3, "x")
    bar.advance(1, note="loss [1.0], " + 40 * "n")
    bar.close()
    shown = capsys.readouterr().err
    assert "a [b]" in shown and "1/3 x" in shown and "loss [1.0], nnn" in shown
