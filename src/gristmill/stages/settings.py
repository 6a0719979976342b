"""Settings as YAML files and flags give them, checked into a stage's config.

A flag and a YAML key are one string and go through one check, so that a mistake reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean

# Not a pattern or a sentence: those are one value, commas and all.
_WORDS = re.compile(r"[\w./@:~+-]+(,[\w./@:~+-]+)+")

M = TypeVar("M", bound=BaseModel)


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, which also refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises GristmillError with the line of a syntax error."""
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise GristmillError(f"cannot be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise GristmillError("is not UTF-8 text", where=path) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise GristmillError(
            f"is not YAML: {getattr(error, 'problem', None) or error}", where=where
        ) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise GristmillError("holds no mapping of keys to values", where=path)
    return loaded


def parse_value(text: str) -> Any:
    """A flag's value as YAML reads it: 3, 0.1, true, [a, b], {a: 1} or text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def set_key(settings: dict[str, Any], key: str, value: Any) -> None:
    """`set_key(s, "a.b", 1)` sets s["a"]["b"]; GristmillError where "a" holds no mapping."""
    *parents, last = key.split(".")
    for parent in parents:
        inner = settings.setdefault(parent, {})
        if inner is None:
            inner = settings[parent] = {}
        if not isinstance(inner, dict):
            raise GristmillError(f"'{parent}' is a value, not a group of keys", where=f"--{key}")
        settings = inner
    settings[last] = value


def check_config(
    model: type[M], settings: Mapping[str, Any], where: str, options: Sequence[str] = ()
) -> M:
    """`settings` as a config. `where` is the file and key path above them, such as
    `demo.yaml:data.filter`; `options` are what else stands on that command line, such as
    `workspace`, for the nearest name of a mistyped one.

    Raises GristmillError that names the first wrong key, with the nearest valid name.
    """
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        retry = _as_wanted(dict(settings), error)
        if retry is not None:
            return check_config(model, retry, where, options)
        # A mistyped key explains a missing one.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise _one_error(model, first, where, options) from error


def _one_error(
    model: type[BaseModel], error: Any, where: str, options: Sequence[str]
) -> GristmillError:
    path = [str(part) for part in error["loc"] if part != "[key]"]
    separator = "" if where.endswith(("--", ":")) or not where else "."
    place = where + separator + ".".join(path) if path else where
    if error["type"] == "extra_forbidden":
        fields = [*_fields_at(model, path[:-1]), *_nested_names(model)]
        fields += [] if path[:-1] else list(options)
        return GristmillError(
            f"unknown key '{path[-1]}'", where=place, mend=did_you_mean(path[-1], fields)
        )
    if error["type"] == "missing":
        flag = place.rpartition(":")[2].removeprefix("--")
        return GristmillError("is required", where=place, mend=f"give --{flag} VALUE")
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    quote = ", as YAML reads it: quote it to mean text" if error["type"] == "string_type" else ""
    return GristmillError(message, where=place, mend=f"it is {error['input']!r}{quote}")


def _fields_at(model: Any, path: list[str]) -> list[str]:
    for part in path:
        info = model.model_fields.get(part)
        if info is None or not (
            isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        ):
            return []
        model = info.annotation
    return list(model.model_fields)


def _nested_names(model: type[BaseModel]) -> list[str]:
    """`gopher_quality.min_words` and the like: what a key without its group may have meant."""
    names = []
    for name, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += [f"{name}.{below}" for below in inner.model_fields]
    return names


def _as_wanted(settings: dict[str, Any], error: ValidationError) -> dict[str, Any] | None:
    """The settings with numbers as text where text is wanted (`--name 123`), and with a single
    value, or words with commas between (`--names a,b`), as a list where a list is wanted; None
    where neither explains the error."""
    changed = False
    for one in error.errors():
        given = one["input"]
        if one["type"] == "string_type" and type(given) in (int, float):
            wanted: Any = str(given)
        elif one["type"] in ("list_type", "tuple_type") and isinstance(given, str):
            words = given.split(",") if _WORDS.fullmatch(given) else [given]
            read = [parse_value(word) for word in words]
            wanted = [
                value if type(value) in (int, float) else word
                for word, value in zip(words, read, strict=True)
            ]
        elif one["type"] in ("list_type", "tuple_type") and type(given) in (int, float):
            wanted = [given]
        else:
            continue
        place: Any = settings
        try:
            for part in one["loc"][:-1]:
                place = place[part]
            place[one["loc"][-1]] = wanted
            changed = True
        except (KeyError, IndexError, TypeError):
            continue
    return settings if changed else None
