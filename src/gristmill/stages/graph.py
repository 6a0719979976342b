"""Runs a recipe: each node once, in order, from the cache where nothing that it needs changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gristmill.core.artifact import Artifact
from gristmill.stages.recipe import Node, Recipe
from gristmill.stages.stage import Execution
from gristmill.stages.workspace import Workspace


@dataclass(frozen=True)
class Step:
    """What happened to a node: `cached` says that its artifact was there before."""

    node: Node
    artifact: Artifact
    cached: bool
    seconds: float


def run_recipe(
    recipe: Recipe,
    workspace: Workspace,
    *,
    execution: Execution | None = None,
    until: str | None = None,
    before: Callable[[Node, int, int], None] | None = None,
    after: Callable[[Step], None] | None = None,
) -> list[Step]:
    """Runs the nodes of a recipe in order, up to and with `until`.

    before(node, position from 1, number of nodes) and after(step) tell a display. Raises what
    a stage raises; everything sealed before that stays.
    """
    execution = execution or Execution()
    workspace.remove_leftovers()
    if until is not None:
        recipe.node(until)
    made: dict[str, Artifact] = {}
    steps: list[Step] = []
    for position, node in enumerate(recipe.nodes, 1):
        inputs = resolve_inputs(node, made)
        if before is not None:
            before(node, position, len(recipe.nodes))
        cached = find_cached(node, inputs, workspace, recipe.seed) is not None
        start = time.monotonic()
        artifact = node.stage.run(
            node.config,
            inputs,
            workspace,
            seed=seed_of(node, recipe.seed),
            execution=execution,
        )
        made[node.name] = _called(artifact, node)
        if node.asked_by is None:
            # What a study asked for is found through the study: the newest model of a workspace is
            # the recipe's own.
            workspace.name_node(node.name, artifact)
        steps.append(Step(node, artifact, cached, time.monotonic() - start))
        if after is not None:
            after(steps[-1])
        if node.name == until:
            break
    return steps


def _called(artifact: Artifact, node: Node) -> Artifact:
    # What a study asked for is called as its stage is: its label is the study's own.
    return artifact if node.asked_by is not None else replace(artifact, node=node.name)


def resolve_inputs(node: Node, made: Mapping[str, Artifact]) -> dict[str, list[Artifact]]:
    """The artifacts that a node's wires lead to: of earlier nodes, or in folders."""
    return {
        slot: [made[name] if name in made else Artifact.open(Path(name)) for name in names]
        for slot, names in node.wires.items()
        if names
    }


def seed_of(node: Node, seed: int) -> int:
    """The node's own seed, or the recipe's."""
    return seed if node.seed is None else node.seed


def find_cached(
    node: Node, inputs: Mapping[str, Any], workspace: Workspace, seed: int
) -> Artifact | None:
    """The node's artifact, where the workspace holds it already. seed: the recipe's."""
    if node.stage.uncached:
        return None
    key, _ = node.stage.key(node.config, inputs, seed_of(node, seed))
    return workspace.find(node.stage.name, key)


def plan_recipe(
    recipe: Recipe, workspace: Workspace, until: str | None = None
) -> list[tuple[Node, Artifact | None]]:
    """Each node up to `until`, with its artifact where that is known to be in the workspace.

    What a node that has yet to run will make is not known, so nothing after it is either.
    """
    made: dict[str, Artifact] = {}
    planned: list[tuple[Node, Artifact | None]] = []
    if until is not None:
        recipe.node(until)
    for node in recipe.nodes:
        wired = [name for names in node.wires.values() for name in names]
        found = None
        if all(name in made or Path(name).is_dir() for name in wired):
            found = find_cached(node, resolve_inputs(node, made), workspace, recipe.seed)
        if found is not None:
            made[node.name] = _called(found, node)
        planned.append((node, found))
        if node.name == until:
            break
    return planned
