"""Runs read from tables of other people: names of columns, what is missing, what is bad."""

from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.scaling.points import (
    Point,
    by_family,
    drop_highest,
    read_points,
    read_points_and_rejects,
    write_points,
)


def table(path: Path, text: str) -> Path:
    file = path / "runs.csv"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "header", ["parameters,tokens,loss", "Params,Tokens,Loss", "N,D,loss", "Model Size,d,LOSS"]
)
def test_columns_go_by_several_names(tmp_path: Path, header: str) -> None:
    (point,) = read_points(table(tmp_path, f"{header}\n1e6,2e7,3.5\n"))
    assert (point.parameters, point.tokens, point.loss) == (1e6, 2e7, 3.5)
    assert point.flops is None and point.compute == 6 * 1e6 * 2e7


def test_tokens_follow_from_flops(tmp_path: Path) -> None:
    text = "x,Model Size,Training FLOP,loss\n9,2e6,2.4e14,3\n"
    (point,) = read_points(table(tmp_path, text))
    assert point.tokens == pytest.approx(2.4e14 / (6 * 2e6))
    assert point.compute == 2.4e14


def test_a_mark_at_the_start_tabs_and_empty_lines_are_read(tmp_path: Path) -> None:
    text = "\ufeffparameters\ttokens\tloss\n\n1\t2\t3\n\t\t\n"
    assert read_points(table(tmp_path, text)) == [Point(1, 2, 3)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,2,3", "parameters is no number above 0: 'x'"),
        ("1,2,nan", "loss is no number above 0: 'nan'"),
        ("1,2,inf", "loss is no number above 0: 'inf'"),
        ("1,-2,3", "tokens is no number above 0: '-2'"),
        ("1_000,2,3", "parameters is no number above 0: '1_000'"),
        ("1,2", "no loss"),
        ("1,,3", "neither tokens nor flops"),
    ],
)
def test_a_bad_row_is_a_reject_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    points, rejects = read_points_and_rejects(
        table(tmp_path, f"parameters,tokens,loss\n1,2,3\n{row}\n4,5,6\n")
    )
    assert [point.parameters for point in points] == [1, 4]
    assert [(r["where"], r["reason"]) for r in rejects] == [("runs.csv:3", reason)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column for parameters and loss"),
        ("parameters,loss\n1,2\n", "tokens"),
        ("parameters,tokens,loss\n", "no point"),
        ("parameters,tokens,loss\nx,1,1\n", "runs.csv:2"),
    ],
)
def test_a_table_without_points_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        read_points(table(tmp_path, text))


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="cannot be read"):
        read_points(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GristmillError, match="UTF-8"):
        read_points(tmp_path / "b.csv")


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    points = [
        Point(1.1e6, 3e7, 3.123456789012345, 1e14, "lstm", 2, 'a, "b"', 9e5, 1.25, 1e7),
        Point(2e6, 3e7, 3.0),
    ]
    write_points(tmp_path / "p.csv", points)
    assert read_points(tmp_path / "p.csv") == points


def test_the_highest_losses_go_and_families_stand_apart() -> None:
    points = [Point(1, 1, loss, family=f) for loss, f in ((5, "a"), (2, "b"), (9, "a"), (3, "a"))]
    assert [p.loss for p in drop_highest(points, 2)] == [2, 3]
    assert {f: len(found) for f, found in by_family(points).items()} == {"a": 3, "b": 1}
