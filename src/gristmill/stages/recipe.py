"""A recipe: a YAML file whose keys are verb paths, read into a graph of stages.

    recipe: demo
    workspace: runs/demo
    seed: 1
    data:
      crawl: {budget: {pages: 20000}}
      extract: {}
    train:
      lm: {size: 4}

The nodes stand in the order of the file; `train.sft: {...}` at the top puts a stage of a noun that
stood before where it belongs. Each input of a stage is wired to the nearest earlier
node that makes a kind it takes; `inputs: {slot: node}` inside a stage's block says otherwise. A
stage that stands twice gets a label: `evaluate: {perplexity@small: {...}}`. `seed: 7` inside a
stage's block gives that stage a seed of its own. `extends: demo` lays a recipe over another.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.expansion import Place
from gristmill.stages.extends import EXTENDS, read_extended
from gristmill.stages.registry import STAGES, stage_by_verb
from gristmill.stages.settings import check_config, set_key
from gristmill.stages.stage import Slot, Stage, StageConfig

_HEAD = {
    "recipe": str, "workspace": str, "seed": int, "about": str, "engine": str, "address": str,
}  # fmt: skip
_NOUNS = {verb.split()[0] for verb in STAGES if " " in verb}


@dataclass(frozen=True)
class Node:
    """A stage at one place of the graph. `wires` names, for each slot, nodes or folders."""

    name: str
    stage: Stage[Any]
    config: StageConfig
    wires: Mapping[str, tuple[str, ...]]
    seed: int | None = None
    """The stage's own seed; none: the recipe's."""
    asked_by: str | None = None
    """The study that wants this stage; none for the recipe's own."""
    expanded: frozenset[str] = frozenset()
    """For a study: the slots that it filled itself."""

    def does_what(self, other: Node, seed: int) -> bool:
        """Whether both would make the same artifact under the recipe's seed."""
        mine, yours = (n.seed if n.seed is not None else seed for n in (self, other))
        return (
            self.stage.name == other.stage.name
            and self.config == other.config
            and (mine == yours or not self.stage.seeded)
            and {s: w for s, w in self.wires.items() if w}
            == {s: w for s, w in other.wires.items() if w}
        )


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
    near = did_you_mean(name, shipped)
    near = f"{near} " if near.startswith("did you mean") else ""
    raise GristmillError(
        f"no recipe '{name}'", mend=f"{near}give a file, or one of: {', '.join(shipped)}"
    )


def recipe_settings(name: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of a recipe, with those that it extends below and the overrides above them."""
    settings = read_extended(find_recipe(name), _find_below, _NOUNS, _HEAD)
    for key, value in (overrides or {}).items():
        set_setting(settings, key, value)
    return settings


def _find_below(name: str, folder: Path) -> Path:
    beside = folder / name
    return beside if name not in shipped_recipes() and beside.is_file() else find_recipe(name)


def load_recipe(name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Reads, overrides (`{"data.filter.min_words": 20}`) and checks a recipe.

    Raises GristmillError that names the file and the key of the first mistake.
    """
    path = find_recipe(name)
    settings = recipe_settings(name, overrides)
    where = name if name in shipped_recipes() else str(path)
    return check_recipe(settings, where, default_name=path.stem)


def check_recipe(settings: Mapping[str, Any], where: str, default_name: str = "recipe") -> Recipe:
    """A recipe from its settings. `where` names their source in errors."""
    settings = copy.deepcopy(dict(settings))
    if EXTENDS in settings:
        raise GristmillError("only a file can extend a recipe", where=f"{where}:{EXTENDS}")
    head = _check_head(settings, where)
    blocks = _blocks(settings, where)
    wiring = _Wiring(head.get("seed", 0), [name for name, _ in blocks])
    for name, block in blocks:
        wiring.add(name, block, where)
    nodes = wiring.nodes
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
        elif not (key in _NOUNS or _dotted(key) or str(key).split("@")[0] in alone):
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


class _Wiring:
    """The graph as it grows: the nodes so far, and the names that stand for one of them."""

    def __init__(self, seed: int, in_file: Sequence[str] = ()):
        self.seed = seed
        self._in_file = in_file
        self.nodes: list[Node] = []
        self._names: dict[str, str] = {}

    def add(
        self, name: str, block: Mapping[str, Any], where: str, asked_by: str | None = None
    ) -> None:
        """Adds the stage of a block, after those that it asks for."""
        place = f"{where}:{name}"
        stage = _stage(name, where)
        settings = dict(block)
        given = _check_inputs(settings.pop("inputs", None), stage, place)
        seed = _check_seed(settings.pop("seed", None), stage, place)
        config = check_config(stage.config, settings, place)
        own = [node for node in self.nodes if node.asked_by is None]
        wires = {
            slot: self._given(given[slot], f"{place}.inputs.{slot}")
            if slot in given
            else _default_wires(taken, own, config)
            for slot, taken in stage.inputs.items()
        }
        filled: set[str] = set()
        if stage.expand is not None:
            at = Place(name, tuple(own), dict(wires), self.seed if seed is None else seed)
            expansion = stage.expand(config, at)
            for wanted, inner in expansion.nodes:
                self.add(wanted, inner, place, asked_by=name)
            for slot, names in expansion.wires.items():
                wires[slot] = self._given(list(names), f"{place}.inputs.{slot}")
                filled.add(slot)
        for slot, taken in stage.inputs.items():
            if not wires[slot] and not taken.optional:
                raise GristmillError(
                    f"nothing before it makes {' or '.join(taken.kinds)} for its input '{slot}'",
                    where=place,
                    mend="put such a stage before it, or name one under inputs",
                )
        self._put(Node(name, stage, config, wires, seed, asked_by, frozenset(filled)), place)

    def _put(self, node: Node, where: str) -> None:
        if node.name in self._names:
            standing = next(n for n in self.nodes if n.name == self._names[node.name])
            if node.asked_by is None or not node.does_what(standing, self.seed):
                raise GristmillError(
                    f"two stages are called '{node.name}'",
                    where=where,
                    mend="give one of them a label: NAME@LABEL",
                )
            return
        self._names[node.name] = node.name
        if node.asked_by is not None:
            for standing in self.nodes:
                if node.does_what(standing, self.seed):
                    self._names[node.name] = standing.name
                    return
        self.nodes.append(node)

    def _given(self, value: Any, where: str) -> tuple[str, ...]:
        if value is None:
            return ()
        names = [str(v) for v in value] if isinstance(value, (list, tuple)) else [str(value)]
        for name in names:
            if name not in self._names and not Path(name).is_dir():
                if name in self._in_file:
                    raise GristmillError(
                        f"'{name}' is this stage itself or stands after it",
                        where=where,
                        mend="stages run in the order of the file, in no circle: put it before",
                    )
                raise GristmillError(
                    f"'{name}' is neither an earlier stage nor a folder",
                    where=where,
                    mend=did_you_mean(name, self._names),
                )
        return tuple(self._names.get(name, name) for name in names)


def _stage(name: str, where: str) -> Stage[Any]:
    verb = name.split("@")[0].replace(".", " ")
    if verb not in STAGES:
        noun = verb.split()[0]
        siblings = [v.replace(" ", ".") for v in STAGES if v.split()[0] == noun]
        raise GristmillError(
            f"unknown stage '{name}'",
            where=f"{where}:{name}",
            mend=did_you_mean(verb.replace(" ", "."), siblings),
        )
    return stage_by_verb(verb)


def _check_inputs(value: Any, stage: Stage[Any], where: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise GristmillError(
            "must name slots",
            where=f"{where}.inputs",
            mend=f"such as {{{next(iter(stage.inputs), 'model')}: STAGE}}",
        )
    for slot in value or {}:
        if slot not in stage.inputs:
            raise GristmillError(
                f"unknown input '{slot}'",
                where=f"{where}.inputs",
                mend=did_you_mean(str(slot), stage.inputs),
            )
    return value or {}


def _check_seed(value: Any, stage: Stage[Any], where: str) -> int | None:
    if value is None:
        return None
    if type(value) is not int:
        raise GristmillError("must be int", where=f"{where}.seed", mend=f"it is {value!r}")
    if not stage.seeded and stage.expand is None:
        raise GristmillError(
            f"{stage.verb} has nothing random, so no seed",
            where=f"{where}.seed",
            mend="leave it out",
        )
    return value


def _default_wires(slot: Slot, earlier: list[Node], config: StageConfig) -> tuple[str, ...]:
    if slot.must_be_named(config):
        return ()
    if slot.many:
        fits = (n for n in earlier if not slot.kinds or n.stage.makes(n.config) in slot.kinds)
        return tuple(n.name for n in fits)
    for node in reversed(earlier):
        if node.stage.makes(node.config) in slot.kinds:
            return (node.name,)
    return ()


def set_setting(settings: dict[str, Any], key: str, value: Any) -> None:
    """Sets a key such as `train.sft.lr`, wherever its stage stands in the mapping.

    Raises GristmillError where a part of the key is a value, not a group of keys.
    """
    key = known_spelling(settings, key)
    place, inside = stage_place(settings, key)
    if inside:
        if place[inside[0]] is None:
            place[inside[0]] = {}
        if len(inside) == 1 or not isinstance(place[inside[0]], dict):
            raise GristmillError("must be a group of keys", where=f"--{key}")
        set_key(place[inside[0]], inside[1], value)
    else:
        set_key(settings, key, value)


def stage_place(settings: dict[str, Any], key: str) -> tuple[dict[str, Any], list[str]]:
    """The mapping that holds the stage of a key under a dotted name at the top, with that name and
    the rest of the key; an empty list where the stage stands (or would) inside its noun."""
    for top in settings:
        if _dotted(top) and (key == top or key.startswith(f"{top}.")):
            return settings, [str(top), *([key[len(top) + 1 :]] if key != top else [])]
    return settings, []


def _dotted(key: Any) -> bool:
    noun, dot, verb = str(key).partition(".")
    return noun in _NOUNS and bool(dot and verb)


def known_spelling(settings: Mapping[str, Any], key: str) -> str:
    """`data.sample_web.scale` and `data.sample-web.scale` are one key: the recipe's spelling."""
    parts = key.split(".")
    for top in settings:
        if _dotted(top) and ".".join(parts[:2]).replace("-", "_") == str(top).replace("-", "_"):
            rest = (part.replace("-", "_") for part in parts[2:])
            return ".".join([str(top), *rest])
    place: Any = settings
    for index, part in enumerate(parts[:2]):
        if not isinstance(place, Mapping):
            break
        for name in place:
            if str(name).replace("-", "_") == part.replace("-", "_"):
                parts[index] = str(name)
        place = place.get(parts[index])
    return ".".join([*parts[:2], *(part.replace("-", "_") for part in parts[2:])])
