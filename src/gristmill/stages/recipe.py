"""A recipe: a YAML file whose keys are verb paths, read into a graph of stages.

    recipe: demo
    workspace: runs/demo
    seed: 1
    data:
      crawl: {budget: {pages: 20000}}
      extract: {}
    train:
      lm: {size: 4}

The nodes stand in the order of the file. Each input of a stage is wired to the nearest earlier
node that makes a kind it takes; `inputs: {slot: node}` inside a stage's block says otherwise. A
stage that stands twice gets a label: `evaluate: {perplexity@small: {...}}`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.registry import STAGES, stage_by_verb
from gristmill.stages.settings import check_config, read_yaml, set_key
from gristmill.stages.stage import Slot, Stage, StageConfig

_HEAD = {"recipe": str, "workspace": str, "seed": int, "about": str}
_NOUNS = {verb.split()[0] for verb in STAGES if " " in verb}


@dataclass(frozen=True)
class Node:
    """A stage at one place of the graph. `wires` names, for each slot, nodes or folders."""

    name: str
    stage: Stage[Any]
    config: StageConfig
    wires: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Recipe:
    """A checked recipe."""

    name: str
    workspace: Path
    seed: int
    about: str
    nodes: tuple[Node, ...]
    settings: Mapping[str, Any]
    """The mapping that it was read from, with the flags in it."""

    def node(self, name: str) -> Node:
        """The node of that name. Raises GristmillError with the nearest name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise GristmillError(
            f"the recipe has no '{name}'",
            mend=did_you_mean(name, [node.name for node in self.nodes]),
        )


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(__file__).parent.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """The file of a shipped recipe, or the file itself. Raises GristmillError for neither."""
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    raise GristmillError(
        f"no recipe '{name}'", mend=f"give a file, or one of: {', '.join(shipped)}"
    )


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Reads, overrides (`{"data.filter.min_words": 20}`) and checks a recipe.

    Raises GristmillError that names the file and the key of the first mistake.
    """
    path = find_recipe(name)
    settings = read_yaml(path)
    for key, value in (overrides or {}).items():
        set_key(settings, _known_spelling(settings, key), value)
    return check_recipe(settings, str(path), default_name=path.stem)


def check_recipe(settings: Mapping[str, Any], where: str, default_name: str = "recipe") -> Recipe:
    """A recipe from its settings. `where` names their source in errors."""
    settings = copy.deepcopy(dict(settings))
    head = _check_head(settings, where)
    nodes: list[Node] = []
    for name, block in _blocks(settings, where):
        nodes.append(_node(name, block, nodes, where))
    if not nodes:
        raise GristmillError("the recipe has no stages", where=where)
    title = head.get("recipe", default_name)
    return Recipe(
        name=title,
        workspace=Path(head.get("workspace", f"runs/{title}")),
        seed=head.get("seed", 0),
        about=head.get("about", ""),
        nodes=tuple(nodes),
        settings=settings,
    )


def _check_head(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    alone = {verb for verb in STAGES if " " not in verb}
    head: dict[str, Any] = {}
    for key, value in settings.items():
        if key in _HEAD:
            if type(value) is not _HEAD[key]:
                raise GristmillError(
                    f"must be {_HEAD[key].__name__}",
                    where=f"{where}:{key}",
                    mend=f"it is {value!r}",
                )
            head[key] = value
        elif key not in _NOUNS and str(key).split("@")[0] not in alone:
            raise GristmillError(
                f"unknown key '{key}'",
                where=f"{where}:{key}",
                mend=did_you_mean(str(key), [*_HEAD, *_NOUNS, *alone]),
            )
    return head


def _blocks(settings: Mapping[str, Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    """(node name, its settings), in the order of the file."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if key in _HEAD:
            continue
        if key in _NOUNS:
            if value is not None and not isinstance(value, dict):
                raise GristmillError("must be a group of stages", where=f"{where}:{key}")
            found.extend((f"{key}.{verb}", block) for verb, block in (value or {}).items())
        else:
            found.append((str(key), value))
    for name, block in found:
        if block is not None and not isinstance(block, dict):
            raise GristmillError(
                "must be a group of keys", where=f"{where}:{name}", mend=f"it is {block!r}"
            )
    return [(name, dict(block or {})) for name, block in found]


def _node(name: str, block: dict[str, Any], earlier: list[Node], where: str) -> Node:
    verb = name.split("@")[0].replace(".", " ")
    if verb not in STAGES:
        noun = verb.split()[0]
        siblings = [v.replace(" ", ".") for v in STAGES if v.split()[0] == noun]
        raise GristmillError(
            f"unknown stage '{name}'",
            where=f"{where}:{name}",
            mend=did_you_mean(verb.replace(" ", "."), siblings),
        )
    stage = stage_by_verb(verb)
    given = block.pop("inputs", None) or {}
    config = check_config(stage.config, block, f"{where}:{name}")
    wires: dict[str, tuple[str, ...]] = {}
    for slot, taken in stage.inputs.items():
        if slot in given:
            wires[slot] = _given_wires(given[slot], earlier, f"{where}:{name}.inputs.{slot}")
        else:
            wires[slot] = _default_wires(taken, earlier)
        if not wires[slot] and not taken.optional:
            raise GristmillError(
                f"nothing before it makes {' or '.join(taken.kinds)} for its input '{slot}'",
                where=f"{where}:{name}",
                mend="put such a stage before it, or name one under inputs",
            )
    for slot in given:
        if slot not in stage.inputs:
            raise GristmillError(
                f"unknown input '{slot}'",
                where=f"{where}:{name}.inputs",
                mend=did_you_mean(slot, stage.inputs),
            )
    return Node(name, stage, config, wires)


def _given_wires(value: Any, earlier: list[Node], where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    names = [str(v) for v in value] if isinstance(value, list) else [str(value)]
    known = [node.name for node in earlier]
    for name in names:
        if name not in known and not Path(name).is_dir():
            raise GristmillError(
                f"'{name}' is neither an earlier stage nor a folder",
                where=where,
                mend=did_you_mean(name, known),
            )
    return tuple(names)


def _default_wires(slot: Slot, earlier: list[Node]) -> tuple[str, ...]:
    if slot.many:
        return tuple(n.name for n in earlier if not slot.kinds or n.stage.kind in slot.kinds)
    for node in reversed(earlier):
        if node.stage.kind in slot.kinds:
            return (node.name,)
    return ()


def _known_spelling(settings: Mapping[str, Any], key: str) -> str:
    """`data.sample_web.scale` and `data.sample-web.scale` are one key: the recipe's spelling."""
    parts = key.split(".")
    place: Any = settings
    for index, part in enumerate(parts[:2]):
        if not isinstance(place, Mapping):
            break
        for name in place:
            if str(name).replace("-", "_") == part.replace("-", "_"):
                parts[index] = str(name)
        place = place.get(parts[index])
    return ".".join([*parts[:2], *(part.replace("-", "_") for part in parts[2:])])
