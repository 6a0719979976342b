"""A recipe at several settings and seeds as one graph, in which what is equal stands once.

Every run is the recipe with other settings. Stages of two runs that would do the same (same stage,
settings, seed and inputs) are one node, so a change runs again only what comes after it.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.stages.recipe import (
    Node,
    Recipe,
    check_recipe,
    find_recipe,
    known_spelling,
    recipe_settings,
)
from gristmill.study.variation import Variant, Variation, change, stage_of, variants

_PERPLEXITY = "evaluate.perplexity"
RESEED_ALL = "all"


@dataclass(frozen=True)
class Run:
    """A variant in the graph. nodes: name in the recipe -> name in the graph."""

    variant: Variant
    recipe: Recipe
    nodes: Mapping[str, str]
    compared: frozenset[str] = frozenset()
    """Names in the recipe of what is compared."""


@dataclass(frozen=True)
class Graph:
    """All runs. nodes: in an order in which they can run. owner: the run that brought each in."""

    nodes: tuple[Node, ...]
    runs: tuple[Run, ...]
    owner: Mapping[str, Run]


def build_graph(
    name: str,
    overrides: Mapping[str, Any],
    variations: Sequence[Variation],
    *,
    seeds: int,
    reseed: str,
    until: str | None,
    hold: Sequence[str] = (),
    everything: bool = False,
) -> tuple[Graph, Recipe]:
    """The graph of all runs of a recipe, and the recipe as it stands.

    reseed: `all`, or the beginning of the names of the stages that each seed draws anew. until:
    the last stage of a run. hold: stages of which all settings of a seed use the first setting's,
    such as a tokenizer that is to be the same for all. everything: all stages are compared; else
    the evaluations, or, where no change reaches one, the stages that it does reach. Only what
    leads to them is in the graph.
    """
    settings = recipe_settings(name, overrides)
    where = str(find_recipe(name))
    base = check_recipe(settings, where, default_name=find_recipe(name).stem)
    _check_reseed(base, reseed)
    for held in hold:
        base.node(held)  # a name that is not in the recipe is told before anything is built
    builder = _Builder(base, reseed, frozenset(hold))
    keys = [key for variation in variations for key in variation.keys]
    for key in keys:
        stage_of(settings, base, key)
    compared = _compared(base, keys, settings, everything)
    found: list[Run] = []
    everyone = variants(variations, seeds, base.seed)
    for _, group in itertools.groupby(everyone, key=lambda variant: variant.seed_number):
        runs = []
        for variant in group:
            changed = copy.deepcopy(settings)
            for key, value in variant.changes:
                change(changed, base, key, value)
            if reseed == RESEED_ALL:
                changed["seed"] = variant.seed
            recipe = check_recipe(changed, where, default_name=base.name)
            runs.append(Run(variant, _needed(recipe, until, compared), {}, compared))
        found += builder.add(runs)
    return Graph(tuple(builder.nodes), tuple(found), builder.owner), base


def _check_reseed(recipe: Recipe, reseed: str) -> None:
    if reseed == RESEED_ALL:
        return
    seeded = [node.name for node in recipe.nodes if node.stage.seeded]
    if not any(name.startswith(reseed) for name in seeded):
        raise GristmillError(
            f"no stage with a seed is called '{reseed}...'",
            where="--reseed",
            mend=f"give all, or the beginning of one of {', '.join(seeded)}",
        )


def _compared(
    recipe: Recipe, keys: Sequence[str], settings: Mapping[str, Any], everything: bool
) -> frozenset[str]:
    """The recipe's own stages whose figures are compared."""
    own = [n for n in recipe.nodes if n.asked_by is None and not n.stage.uncached]
    spelled = [known_spelling(settings, key) for key in keys]
    reached = {n.name for n in own if any(f"{k}.".startswith(f"{n.name}.") for k in spelled)}
    for node in recipe.nodes:
        if any(name in reached for names in node.wires.values() for name in names):
            reached.add(node.name)
    evaluations = {n.name for n in own if n.stage.kind == "evaluation"}
    if everything:
        return frozenset(n.name for n in own)
    if evaluations & reached:
        return frozenset(evaluations)
    return frozenset(n.name for n in own if n.name in reached)


def _needed(recipe: Recipe, until: str | None, compared: frozenset[str]) -> Recipe:
    """The recipe up to `until`, without what leads to nothing that is compared."""
    nodes = list(recipe.nodes)
    if until is not None:
        nodes = nodes[: nodes.index(recipe.node(until)) + 1]
    nodes = [node for node in nodes if not node.stage.uncached]
    needed = {node.name for node in nodes if node.name in compared}
    if not needed:
        raise GristmillError(
            "no stage that the change reaches has figures to compare",
            mend="vary another key, or name what to compare: --figure NAME",
        )
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(name for names in node.wires.values() for name in names)
    return replace(recipe, nodes=tuple(node for node in nodes if node.name in needed))


class _Builder:
    """The graph as runs come in. All of a seed come together: they share their held-out text."""

    def __init__(self, base: Recipe, reseed: str, hold: frozenset[str]):
        self.base, self.reseed, self.hold = base, reseed, hold
        self.nodes: list[Node] = []
        self.owner: dict[str, Run] = {}

    def add(self, runs: Sequence[Run]) -> list[Run]:
        """The runs with the names of their nodes in the graph."""
        names: list[dict[str, str]] = [{} for _ in runs]
        waiting: list[list[Node]] = [[] for _ in runs]
        for run, known, later in zip(runs, names, waiting, strict=True):
            after: set[str] = set()
            for node in run.recipe.nodes:
                if node.name in self.hold and node.name in names[0]:
                    known[node.name] = names[0][node.name]
                    continue
                below = {name for wired in node.wires.values() for name in wired}
                if node.stage.name == _PERPLEXITY or below & after:
                    after.add(node.name)
                    later.append(node)
                else:
                    known[node.name] = self._put(node, run, known)
        for run, known, later in zip(runs, names, waiting, strict=True):
            for node in later:
                text = self._one_text(node, runs, names) if node.stage.name == _PERPLEXITY else {}
                known[node.name] = self._put(node, run, known, text)
        return [
            replace(run, nodes={node.name: known[node.name] for node in run.recipe.nodes})
            for run, known in zip(runs, names, strict=True)
        ]

    def _put(
        self,
        node: Node,
        run: Run,
        known: Mapping[str, str],
        shared: Mapping[str, tuple[str, ...]] | None = None,
    ) -> str:
        """The name of the node in the graph: of one that does the same, or a new one.

        shared: wires by the graph's names, over those of the recipe.
        """
        wires = {s: tuple(known.get(n, n) for n in wired) for s, wired in node.wires.items()}
        wires |= shared or {}
        node = replace(node, wires=wires, seed=self._seed(node, run), asked_by="study.ablate")
        for standing in self.nodes:
            if node.does_what(standing, self.base.seed):
                return standing.name
        if node.name in self.owner:
            node = replace(node, name=f"{node.name}@{run.variant.setting} seed {run.variant.seed}")
        self.nodes.append(node)
        self.owner[node.name] = run
        return node.name

    def _seed(self, node: Node, run: Run) -> int | None:
        if not node.stage.seeded or run.variant.seed_number == 0:
            return node.seed
        if self.reseed == RESEED_ALL and node.asked_by is not None and node.seed is not None:
            # The study took it from the recipe's seed, which is that of this run already.
            return node.seed
        if self.reseed == RESEED_ALL or node.name.startswith(self.reseed):
            own = self.base.seed if node.seed is None else node.seed
            return own + run.variant.seed_number
        return node.seed

    def _one_text(
        self, node: Node, runs: Sequence[Run], names: Sequence[Mapping[str, str]]
    ) -> dict[str, tuple[str, ...]]:
        """Where the settings have different mixtures: all are scored on the first one's held-out
        documents, less those that any of them trains on."""
        if node.wires.get("text"):
            return {}
        mixtures = []
        for run, known in zip(runs, names, strict=True):
            mixtures += [known[name] for name in _mixtures(run.recipe, node.name)]
        different = tuple(dict.fromkeys(mixtures))
        return {"text": different[:1], "trained": different} if len(different) > 1 else {}


def _mixtures(recipe: Recipe, name: str) -> list[str]:
    """The mixtures that a node's tokens come from."""
    by_name = {node.name: node for node in recipe.nodes}
    found: list[str] = []
    open_ = list(by_name[name].wires.get("tokens", ())) if name in by_name else []
    while open_:
        node = by_name.get(open_.pop())
        if node is None:
            continue
        if node.stage.kind == "mixture":
            found.append(node.name)
        else:
            open_ += [n for wired in node.wires.values() for n in wired]
    return found
