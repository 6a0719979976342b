"""`config show | validate | schema`: recipes looked at without running them."""

from __future__ import annotations

import json
from typing import Any

import yaml

from gristmill.cli.flags import Flags, parse_flags
from gristmill.core.errors import GristmillError
from gristmill.stages.recipe import Recipe, load_recipe, shipped_recipes
from gristmill.stages.registry import STAGES, stage_by_verb
from gristmill.stages.stage import ENGINES

_HELP = """gristmill config show RECIPE        every key with its value, defaults too
gristmill config validate RECIPE    exit 0, or 2 with the first mistake
gristmill config schema [VERB]      JSON schema of a stage, or of a recipe

RECIPE is a file or a shipped name:
{names}
Flags override keys.

  gristmill config show demo --data.dedup.near.words 4
  gristmill config validate my.yaml
  gristmill config schema data filter"""


def show(arguments: list[str]) -> int:
    """Prints a recipe as YAML with every default filled in."""
    flags = _flags(arguments)
    if flags is None:
        return 0
    recipe = _load(flags)
    filled = filled_settings(recipe)
    if flags.on("json"):
        print(json.dumps(filled, ensure_ascii=False))
    else:
        print(yaml.safe_dump(filled, sort_keys=False, allow_unicode=True, width=80), end="")
    return 0


def validate(arguments: list[str]) -> int:
    """Checks a recipe; says how many stages it has."""
    flags = _flags(arguments)
    if flags is None:
        return 0
    recipe = _load(flags)
    if flags.on("json"):
        print(json.dumps({"recipe": recipe.name, "stages": [n.name for n in recipe.nodes]}))
    else:
        print(f"{recipe.name}: {len(recipe.nodes)} stages, all keys valid")
    return 0


def schema(arguments: list[str]) -> int:
    """Prints the JSON schema of a stage's settings, or of a whole recipe."""
    flags = _flags(arguments)
    if flags is None:
        return 0
    verb = " ".join(flags.words)
    found = stage_by_verb(verb).config.model_json_schema() if verb else recipe_schema()
    print(json.dumps(found, indent=2))
    return 0


def filled_settings(recipe: Recipe) -> dict[str, Any]:
    """The settings of a recipe with every default and every wire written out."""
    filled: dict[str, Any] = {
        "recipe": recipe.name,
        "workspace": recipe.workspace.as_posix(),
        "seed": recipe.seed,
    }
    # What a study asks for follows from the study's own settings.
    for node in (node for node in recipe.nodes if node.asked_by is None):
        place, last = filled, node.name
        noun, dot, verb = node.name.partition(".")
        # A noun that stood earlier is not opened again: the order would be another.
        if dot and (noun not in filled or next(reversed(filled)) == noun):
            place, last = filled.setdefault(noun, {}), verb
        block: dict[str, Any] = {}
        wires = {s: names[0] if len(names) == 1 else list(names) for s, names in node.wires.items()}
        own = {slot: wire for slot, wire in wires.items() if wire and slot not in node.expanded}
        if own:
            block["inputs"] = own
        if node.seed is not None:
            block["seed"] = node.seed
        block.update(node.config.model_dump(mode="json"))
        place[last] = block
    return filled


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe file: every stage's settings under its verb path."""
    properties: dict[str, Any] = {
        "recipe": {"type": "string"},
        "about": {"type": "string"},
        "workspace": {"type": "string"},
        "engine": {"enum": list(ENGINES)},
        "address": {"type": "string"},
        "seed": {"type": "integer"},
        "extends": {"type": "string"},
    }
    definitions: dict[str, Any] = {}
    for verb in STAGES:
        own = stage_by_verb(verb).config.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(own.pop("$defs", {}))
        frame = {"inputs": {"type": "object"}, "seed": {"type": "integer"}}
        own["properties"] = {**frame, **own.get("properties", {})}
        noun, _, name = verb.partition(" ")
        if name:
            group = properties.setdefault(
                noun, {"type": "object", "properties": {}, "patternProperties": {}}
            )
            group["properties"][name] = own
            group["patternProperties"][f"^{name}@.+$"] = own
            properties[f"{noun}.{name}"] = own
        else:
            properties[noun] = own
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gristmill recipe",
        "type": "object",
        "properties": properties,
        "$defs": definitions,
    }


def _flags(arguments: list[str]) -> Flags | None:
    flags = parse_flags(arguments, options=(), switches=("help", "json"))
    if flags.on("help") or "-h" in flags.words:
        print(_HELP.format(names=", ".join(shipped_recipes())))
        return None
    return flags


def _load(flags: Flags) -> Recipe:
    if len(flags.words) != 1:
        raise GristmillError(
            "one recipe is wanted", mend=f"give a file, or one of: {', '.join(shipped_recipes())}"
        )
    return load_recipe(flags.words[0], flags.settings)
