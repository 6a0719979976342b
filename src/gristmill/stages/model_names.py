"""What models are called where results name several of them: as everywhere, see `short_name`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.stage import Inputs
from gristmill.stages.workspace import short_name


def each_once(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """The artifacts in their order, equal contents once: a recipe offers every earlier model to a
    slot of many, the one in another slot among them."""
    found: dict[str, Artifact] = {}
    for artifact in artifacts:
        found.setdefault(artifact.content, artifact)
    return list(found.values())


def names_of(artifacts: Sequence[Artifact], given: Sequence[str] = ()) -> list[str]:
    """A short name for each: as given, else that of the node by which it was found, or that of its
    stage (`base`, `sft`, `ppo@mine`), numbered where two are called alike.

    Raises GristmillError where as many were not given, or one twice.
    """
    if given and (len(given) != len(artifacts) or len(set(given)) != len(given)):
        raise GristmillError(
            f"{len(given)} names for {len(artifacts)} models",
            where="names",
            mend="give each model one name of its own, in their order; a baseline comes last",
        )
    found: list[str] = []
    for artifact in artifacts:
        own = short_name(artifact.node or artifact.stage)
        name, number = own, 2
        while name in found:
            name, number = f"{own}_{number}", number + 1
        found.append(name)
    return list(given) or found


def named_models(inputs: Inputs, given: Sequence[str] = ()) -> dict[str, Artifact]:
    """The models of the slots `model` and `others`, each once, by name; see `names_of`."""
    models = each_once([inputs["model"], *inputs.many("others")])
    return dict(zip(names_of(models, given), models, strict=True))
