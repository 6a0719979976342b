"""Progress never breaks the work, whatever shows it."""

import pytest

from gristmill.core.progress import (
    PlainProgress,
    RichProgress,
    Silent,
    progress,
    progress_line,
    track,
)


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


@pytest.mark.parametrize("width", [120, 80, 60, 44, 36])
def test_what_is_done_and_left_is_never_cut(width: int) -> None:
    for title, done, total, unit in (
        ("train lm", 363, 1200, "steps"),
        ("contamination of sft", 909_090, 3_000_000, "tokens"),
        ("evaluate.tasks", 84_130, None, "tokens"),
    ):
        before, bar, after = progress_line(title, done, total, unit, 4000, 3725, width)
        assert len(before) + bar + len(after) <= width
        assert f"{done:,}" in after
        if total:
            assert f"{done:,}/{total:,}" in after and after.endswith("1:02:05 left")
        else:
            assert "left" not in after and bar == 0
        assert (bar > 0) <= (f" {unit}" in after)


def test_a_bar_fits_with_its_time_at_80_columns() -> None:
    before, bar, after = progress_line("train lm", 363, 1200, "steps", 61, 122, 79)
    assert (before.strip(), bar, after) == ("train lm", 16, "   363/1,200 steps  1:01  2:02 left")
