"""Errors, figures, seeds, canonical JSON, extensions, nearest names."""

import errno
import math
import pickle
from pathlib import Path

import pytest

from gristmill.core.canonical import canonical_json, hash_json, read_jsonl, write_json
from gristmill.core.errors import GristmillError, Retryable, disk_full
from gristmill.core.extension import extension_hash, load_extension
from gristmill.core.figure import (
    Figure,
    figures_from_json,
    figures_to_json,
    precision_recall,
    proportion,
)
from gristmill.core.nearest import did_you_mean
from gristmill.core.records import document_id, host_of
from gristmill.core.seeds import derive_seed


def test_an_error_is_one_line_with_place_and_mend() -> None:
    error = GristmillError("unknown key\n'x'", where="a.yaml:b", mend="did you mean 'y'?")
    assert error.one_line() == "a.yaml:b: unknown key 'x'; did you mean 'y'?"
    assert error.exit_code == 2 and Retryable("x").exit_code == 75


def test_errors_cross_process_borders() -> None:
    error = Retryable("the disk is full", where="runs", mend="free some")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is Retryable and again.one_line() == error.one_line()


def test_a_full_disk_is_seen_through_wrapping() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as inner:
            raise RuntimeError("writing failed") from inner
    except RuntimeError as error:
        assert disk_full(error)
    assert not disk_full(OSError(errno.EACCES, "denied"))


def test_wilson_interval_against_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    figure = proportion(81, 263)
    assert figure.low == pytest.approx(0.2553, abs=5e-5)
    assert figure.high == pytest.approx(0.3662, abs=5e-5)
    zero = proportion(0, 10)
    assert zero.low == 0.0 and zero.high == pytest.approx(0.2775, abs=1e-4)


def test_precision_and_recall() -> None:
    precision, recall = precision_recall(8, 2, 24)
    assert precision.value == 0.8 and precision.n == 10
    assert recall.value == 0.25 and recall.n == 32


def test_figures_round_trip_and_leave_out_what_is_not_a_number() -> None:
    figures = {"b": Figure(1.5, 1.0, 2.0, 7), "a": Figure(2.0), "nan": Figure(math.nan)}
    flat = figures_to_json(figures)
    assert list(flat) == ["a", "b"] and flat["a"] == {"value": 2.0}
    assert figures_from_json(flat)["b"] == figures["b"]


def test_seeds_depend_on_every_name_and_on_nothing_else() -> None:
    assert derive_seed(1, "train", 2) == derive_seed(1, "train", 2)
    seeds = {derive_seed(1, "a", "b"), derive_seed(1, "ab"), derive_seed(1, "b", "a"),
             derive_seed(2, "a", "b")}  # fmt: skip
    assert len(seeds) == 4


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1}) != hash_json({"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(math.nan)


def test_json_files_are_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": math.inf})
    assert (tmp_path / "a.json").read_text() == '{\n  "x": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_jsonl_leaves_out_a_torn_last_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n{"a"')
    assert list(read_jsonl(tmp_path / "a.jsonl")) == [{"a": 1}, {"a": 2}]


def test_a_users_function_is_loaded_from_a_file_and_its_source_is_hashed(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def keep(document):\n    return True\n")
    name = f"{file}:keep"
    assert load_extension(name)({}) is True
    before = extension_hash(name)
    file.write_text("def keep(document):\n    return False\n")
    assert extension_hash(name) != before
    for wrong in (f"{file}:kep", str(file), "no.such.module:f", f"{tmp_path}/none.py:f"):
        with pytest.raises(GristmillError):
            load_extension(wrong)


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [("x = 1\ndef keep(:", 2, "SyntaxError"), ("x = 1\ny = 1 / 0\n", 2, "ZeroDivisionError")],
)
def test_a_users_broken_file_is_named_with_its_line(
    tmp_path: Path, source: str, line: int, said: str
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(source)
    with pytest.raises(GristmillError, match=rf"broken\.py:{line}: {said}"):
        load_extension(f"{file}:keep")


def test_the_nearest_name_or_all() -> None:
    assert did_you_mean("min_wrods", ["min_words", "max_words"]) == "did you mean 'min_words'?"
    assert did_you_mean("zzz", ["b", "a"]) == "valid here: a, b"


def test_document_ids_and_hosts() -> None:
    assert document_id("http://a/", "x") != document_id("http://a/x", "")
    assert len(document_id("u", "\udc80")) == 16
    assert host_of("http://A.Example:8080/x") == "a.example"
