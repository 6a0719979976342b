"""What a study varies: keys with their values, or named settings of several keys at once.

Every combination of the choices is a setting; a setting at one seed is a variant, one run of the
recipe.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.recipe import Recipe, known_spelling, set_setting, stage_place
from gristmill.stages.settings import read_yaml


@dataclass(frozen=True)
class Choice:
    """One of the settings that a variation goes through, and the keys that it changes. Values of a
    whole stage: off, on, or a mapping."""

    label: str
    changes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Variation:
    """What is varied, by the name that the comparison has for it, and its choices."""

    name: str
    choices: tuple[Choice, ...]

    @property
    def keys(self) -> list[str]:
        """Every key that some choice changes."""
        return list(dict.fromkeys(key for choice in self.choices for key, _ in choice.changes))


@dataclass(frozen=True)
class Variant:
    """One run: a setting of every varied key, and the number of its seed from 0."""

    setting: str
    changes: tuple[tuple[str, Any], ...]
    seed_number: int
    seed: int

    @property
    def label(self) -> str:
        """How the run is called on the terminal."""
        return f"{self.setting}, seed {self.seed}"


def parse_variation(text: str) -> Variation:
    """`data.filter.min_words=10,20`: values as YAML, apart by commas.

    Raises GristmillError where that is not what it says.
    """
    key, equals, values = text.partition("=")
    try:
        found = yaml.safe_load(f"[{values}]") if equals else None
    except yaml.YAMLError:
        found = None
    if not key or not isinstance(found, list) or not found:
        raise GristmillError(
            f"'{text}' does not say what to vary",
            where="--vary",
            mend="give KEY=A,B such as data.quality.keep_share=0.9,0.5 or data.quality=on,off",
        )
    key = key.strip()
    return Variation(
        key, tuple(Choice(f"{key}={_shown(value)}", ((key, value),)) for value in found)
    )


def read_variation(path: Path) -> Variation:
    """Named settings of several keys at once, from YAML: `NAME: {KEY: VALUE, ...}`, the one that
    the others are compared with first; `{}` is the recipe as it stands.

    Raises GristmillError where the file is not that.
    """
    found = read_yaml(path)
    for name, changes in found.items():
        if not isinstance(changes, Mapping):
            raise GristmillError(
                "a setting is a mapping of keys to values",
                where=f"{path}: {name}",
                mend=f"give {name}: {{data.filter.c4.enabled: false}}, or {{}} for no change",
            )
    if not any(found.values()):
        raise GristmillError(
            "no setting changes a key",
            where=path,
            mend="give NAME: {KEY: VALUE, ...} for each setting, {} for the recipe as it stands",
        )
    return Variation(
        path.stem,
        tuple(Choice(str(name), tuple(changes.items())) for name, changes in found.items()),
    )


def variants(variations: Sequence[Variation], seeds: int, first_seed: int) -> tuple[Variant, ...]:
    """Every combination of the values at each seed; all settings of a seed before the next seed.

    Raises GristmillError where fewer than two settings are left to compare.
    """
    grid = list(itertools.product(*(variation.choices for variation in variations)))
    labels = [" ".join(choice.label for choice in choices) for choices in grid]
    if len(set(labels)) < 2 or len(set(labels)) < len(labels):
        raise GristmillError(
            "a comparison needs two different settings or more",
            where="--vary",
            mend=f"there is {', '.join(labels)}",
        )
    return tuple(
        Variant(
            label, tuple(pair for c in choices for pair in c.changes), number, first_seed + number
        )
        for number in range(seeds)
        for label, choices in zip(labels, grid, strict=True)
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def change(settings: dict[str, Any], recipe: Recipe, key: str, value: Any) -> None:
    """Sets a key of a recipe's settings, or takes out, leaves in or changes a whole stage.

    Raises GristmillError for a key of no stage of the recipe.
    """
    key = known_spelling(settings, key)
    stage = stage_of(settings, recipe, key)
    if key != stage:
        set_setting(settings, key, value)
        return
    place, inside = stage_place(settings, key)
    verb = inside[0] if inside else key
    if not inside and "." in key:
        noun, verb = key.split(".", 1)
        place = settings[noun]
    if value is False or value is None:
        del place[verb]
    elif isinstance(value, Mapping):
        for inner, given in value.items():
            set_setting(settings, f"{key}.{inner}", given)
    elif value is not True:
        raise GristmillError(
            f"a whole stage is on, off or a mapping, not {value!r}", where=f"--vary {key}"
        )


def stage_of(settings: Mapping[str, Any], recipe: Recipe, key: str) -> str:
    """The stage of the recipe that a key belongs to. Raises GristmillError where there is none."""
    key = known_spelling(settings, key)
    names = [node.name for node in recipe.nodes if node.asked_by is None]
    for name in names:
        if key == name or key.startswith(name + "."):
            return name
    raise GristmillError(
        f"'{key}' is no key of a stage of this recipe",
        where="--vary or --settings",
        mend=did_you_mean(".".join(key.split(".")[:2]), names),
    )
