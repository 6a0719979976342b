"""`extends: demo`: a recipe laid over another.

Mappings are merged deeply, all else is replaced. `null` for a stage, or for a whole noun, takes it
out. What is new comes after what the other recipe has at that place; the report stays last.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.stages.settings import read_yaml

EXTENDS = "extends"
_LAST = "report"


def read_extended(
    path: Path, find: Callable[[str, Path], Path], nouns: Collection[str], head: Collection[str]
) -> dict[str, Any]:
    """The settings of a recipe file with those that it extends below them.

    find(name, folder): the file of a recipe named in a file of `folder`. nouns: the keys that hold
    stages one level down. head: the keys that are no stages. Raises GristmillError for a circle.
    """
    chain = [path]
    layers = [read_yaml(path)]
    while EXTENDS in layers[-1]:
        name = layers[-1].pop(EXTENDS)
        if not isinstance(name, str):
            raise GristmillError(
                "must be the name or the file of a recipe",
                where=f"{chain[-1]}:{EXTENDS}",
                mend=f"it is {name!r}",
            )
        below = find(name, chain[-1].parent)
        if any(below.resolve() == seen.resolve() for seen in chain):
            circle = " extends ".join(str(one) for one in [*chain, below])
            raise GristmillError(f"recipes extend each other: {circle}", where=path)
        chain.append(below)
        layers.append(read_yaml(below))
    settings = layers.pop()
    while layers:
        settings = lay_over(settings, layers.pop(), nouns, head)
    return settings


def lay_over(
    below: Mapping[str, Any],
    above: Mapping[str, Any],
    nouns: Collection[str],
    head: Collection[str],
) -> dict[str, Any]:
    """`above` over `below`; neither is changed."""
    merged = copy.deepcopy(dict(below))
    for key, value in above.items():
        noun, _, verb = str(key).partition(".")
        if key in head:
            merged[key] = value
        elif key in nouns and isinstance(value, Mapping):
            merged.setdefault(key, {})
            for inner, block in value.items():
                _lay_stage(merged, str(key), str(inner), block)
        elif key in nouns and value is None:
            merged.pop(key, None)
            for dotted in [k for k in merged if str(k).startswith(f"{key}.")]:
                del merged[dotted]
        elif noun in nouns and verb:
            _lay_stage(merged, noun, verb, value, dotted=True)
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    last = [key for key in merged if str(key).split("@")[0] == _LAST]
    return {**{k: v for k, v in merged.items() if k not in last}, **{k: merged[k] for k in last}}


def _lay_stage(
    merged: dict[str, Any], noun: str, verb: str, block: Any, *, dotted: bool = False
) -> None:
    """A stage over the same stage, which may stand in its noun or under a dotted name at the top;
    dotted: where a stage that is new goes."""
    group = merged.get(noun)
    inside = isinstance(group, dict) and verb in group
    at_top = f"{noun}.{verb}" in merged or (dotted and not inside)
    place, name = (merged, f"{noun}.{verb}") if at_top else (group, verb)
    if place is None:
        place = merged[noun] = {}
    if block is None:
        place.pop(name, None)
    else:
        place[name] = _merge(place.get(name), block)


def _merge(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return copy.deepcopy(above)
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merge(merged.get(key), value)
    return merged
