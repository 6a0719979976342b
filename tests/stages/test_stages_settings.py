"""Settings: one check for files and flags, and errors that name file, key and nearest name."""

from pathlib import Path

import pytest

from gristmill.core.errors import GristmillError
from gristmill.stages.settings import check_config, parse_value, read_yaml, set_key
from gristmill.stages.stage import StageConfig


class Inner(StageConfig):
    words: list[str] = []
    rate: float = 0.5


class Budgets(StageConfig):
    tokens: tuple[int, ...] = ()


class Outer(StageConfig):
    name: str = "x"
    min_words: int = 50
    inner: Inner = Inner()


def test_valid_settings() -> None:
    config = check_config(Outer, {"min_words": 3, "inner": {"rate": 1}}, "f.yaml:a")
    assert config == Outer(min_words=3, inner=Inner(rate=1.0))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"min_wrods": 3},
            "f.yaml:a.min_wrods: unknown key 'min_wrods'; did you mean 'min_words'?",
        ),
        ({"inner": {"rat": 1}}, "f.yaml:a.inner.rat: unknown key 'rat'; did you mean 'rate'?"),
        ({"min_words": "many"}, "f.yaml:a.min_words: input should be a valid integer"),
        ({"inner": {"words": {"a": 1}}}, "f.yaml:a.inner.words: input should be a valid list"),
        ({"inner": 4}, "f.yaml:a.inner: input should be a valid dictionary"),
    ],
)
def test_a_mistake_names_its_place(settings: dict[str, object], expected: str) -> None:
    with pytest.raises(GristmillError) as caught:
        check_config(Outer, settings, "f.yaml:a")
    assert caught.value.one_line().startswith(expected)
    assert "\n" not in caught.value.one_line()


def test_a_number_given_for_text_is_taken_as_text() -> None:
    assert check_config(Outer, {"name": 123, "inner": {"words": [1, "b"]}}, "--") == Outer(
        name="123", inner=Inner(words=["1", "b"])
    )


def test_a_single_text_is_a_list_of_one_where_a_list_is_wanted() -> None:
    assert check_config(Outer, {"inner": {"words": "mine.py:keep"}}, "--").inner.words == [
        "mine.py:keep"
    ]


def test_numbers_make_a_list_as_words_do() -> None:
    assert check_config(Budgets, {"tokens": 20}, "--").tokens == (20,)
    assert check_config(Budgets, {"tokens": "20,40"}, "--").tokens == (20, 40)
    assert check_config(Outer, {"inner": {"words": "a,7,true"}}, "--").inner.words == [
        "a", "7", "true",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("mine,demo", ["mine", "demo"]),
        ("a/b.jsonl,train.dpo@x", ["a/b.jsonl", "train.dpo@x"]),
        ("x{1,2}", ["x{1,2}"]),
        ("yes, and no", ["yes, and no"]),
        ("a,", ["a,"]),
    ],
)
def test_words_with_commas_are_a_list_and_patterns_and_sentences_are_one(
    given: str, expected: list[str]
) -> None:
    assert check_config(Outer, {"inner": {"words": given}}, "--").inner.words == expected


def test_a_key_without_its_group_is_recognised() -> None:
    with pytest.raises(GristmillError, match=r"did you mean 'inner\.rate'\?"):
        check_config(Outer, {"rate": 3}, "--")


def test_a_mistyped_key_comes_before_the_one_that_is_missing() -> None:
    class Needs(StageConfig):
        path: str

    with pytest.raises(GristmillError, match="unknown key 'pth'; did you mean 'path'"):
        check_config(Needs, {"pth": "x"}, "--")


def test_flag_values_are_yaml() -> None:
    values = ["3", "0.5", "true", "[a, b]", "{a: 1}", "text", "http://a/b: c", "@"]
    parsed = [parse_value(value) for value in values]
    assert parsed[:6] == [3, 0.5, True, ["a", "b"], {"a": 1}, "text"]
    assert parsed[7] == "@"


def test_dotted_keys_make_groups() -> None:
    settings: dict[str, object] = {"a": None}
    set_key(settings, "a.b.c", 1)
    set_key(settings, "a.b.d", 2)
    assert settings == {"a": {"b": {"c": 1, "d": 2}}}
    with pytest.raises(GristmillError, match="'c' is a value"):
        set_key(settings, "a.b.c.e", 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: [1", "is not YAML"),
        (b"- 1", "holds no mapping"),
        (b"a: 1\nb: {c: 1, c: 2}", "the key 'c' stands twice"),
        (b"data: {a: 1}\ndata: {b: 2}", "the key 'data' stands twice"),
        (b"\xff\xfe\x00x", "is not UTF-8"),
        (b"a: !!python/object/apply:os.system [ls]", "is not YAML"),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(data)
    with pytest.raises(GristmillError, match=message) as caught:
        read_yaml(path)
    assert "r.yaml" in caught.value.one_line()
    with pytest.raises(GristmillError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")
