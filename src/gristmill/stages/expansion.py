"""How a study asks for other stages: what it is told of its place, and what it wants before itself.

    def expand(config: AlignmentConfig, place: Place) -> Expansion:
        wanted = [
            (f"train.dpo@beta{beta:g}-seed{seed}",
             {"beta": beta, "seed": seed, "inputs": {"model": place.inputs["sft"]}})
            for beta in config.betas for seed in range(config.seeds)
        ]
        return Expansion(wanted, {"models": [name for name, _ in wanted]})

    @stage("study alignment", ..., inputs={"sft": Slot("model"), "models": Slot("model", many=True,
           optional=True, named=True)}, expand=expand)

The stages that it asks for run before it and are cached like any other. One that the recipe holds
already (same stage, settings, seed and inputs) is that one, whatever name it was asked for under.
They have no part in how the recipe's own stages are wired, and none in what `report` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.stages.recipe import Node


@dataclass(frozen=True)
class Place:
    """Where a study stands in its recipe."""

    name: str
    """The study's own node, such as `study.alignment`."""
    nodes: tuple[Node, ...]
    """The recipe's own stages before it; none where the study is called alone."""
    inputs: Mapping[str, tuple[str, ...]]
    """What each of the study's slots is wired to: names of nodes, or folders."""
    seed: int
    """The recipe's seed."""


@dataclass(frozen=True)
class Expansion:
    """What a study wants: (node name, block) in the order in which to run, and its own wires.

    A block is what would stand in a recipe: settings, `inputs`, `seed`. Inputs that it does not
    name are wired to the recipe's own stages, never to other wanted ones. `wires` replaces what
    the study's slots were wired to.
    """

    nodes: Sequence[tuple[str, Mapping[str, Any]]]
    wires: Mapping[str, Sequence[str]] = field(default_factory=dict)
