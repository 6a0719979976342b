"""`study domain-draw`: one mixture of the domains of some documents, drawn at random.

A stage of its own because what the domains are is known only when their labels are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.figure import Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage

if TYPE_CHECKING:
    from pathlib import Path

    from gristmill.core.artifact import Artifact


class DrawConfig(StageConfig):
    """Which draw, and how far from the centre."""

    number: int = Field(0, ge=0)
    """Which of the draws of this seed."""
    temperature: float = Field(2.0, gt=0)
    """The centre of the draws: shares by size^(1/T)."""
    low: float = Field(0.3, gt=0)
    """Strength of the wildest draws: below 1 a few domains have nearly everything."""
    high: float = Field(4.0, gt=0)
    """Strength of the tamest."""


@stage(
    "study domain-draw",
    version=1,
    kind="weights",
    config=DrawConfig,
    inputs={"documents": Slot("layer", help="documents with domains")},
    summary="draw one mixture of domains at random",
    example="gristmill study domain-draw --documents data.domains --number 3",
    seeded=True,
)
def domain_draw(config: DrawConfig, inputs: Inputs, output: Output) -> None:
    """`weights.json`, which `data mix --learned` reads."""
    from gristmill.data.domain_weights import WEIGHTS, draw_mixture, tempered, write_weights

    sizes = domain_bytes(inputs["documents"])
    names = list(sizes)
    centre = tempered(list(sizes.values()), config.temperature)
    drawn = draw_mixture(
        centre, config.number, strength=(config.low, config.high), seed=output.seed
    )
    weights = dict(zip(names, drawn.tolist(), strict=True))
    write_weights(output.path / WEIGHTS, weights, drawn=config.number)
    total = sum(sizes.values())
    output.tables.append(
        Table(
            "Drawn weights",
            ["domain", "share of bytes", "drawn"],
            [[name, sizes[name] / total, weights[name]] for name in names],
        )
    )
    output.counts["domains"] = len(names)


def domain_bytes(artifact: Artifact) -> dict[str, int]:
    """Bytes of the kept texts of each domain, by name.

    Raises GristmillError where the documents have no domains, or only one.
    """
    import pyarrow.compute as pc

    from gristmill.core.errors import GristmillError
    from gristmill.data.documents import DocumentSet

    documents = DocumentSet.open(artifact)
    found: dict[str, int] = {}
    if "domain" in documents.column_names():
        for _, table in documents.tables(["domain", "text"]):
            sizes = pc.binary_length(table["text"]).to_pylist()
            for name, size in zip(table["domain"].to_pylist(), sizes, strict=True):
                found[name] = found.get(name, 0) + size
    if len(found) < 2:
        raise GristmillError(
            "these documents have fewer than two domains, so there is nothing to weigh",
            where=artifact.path,
            mend="label them first: gristmill data domains (or --clusters N where nothing does)",
        )
    return dict(sorted(found.items()))


def trained_shares(tokens: Path) -> dict[str, float]:
    """Each domain's share of the bytes of the train split of a `tokens` artifact."""
    import pyarrow.parquet as pq

    table = pq.read_table(tokens / "train" / "documents.parquet", columns=["domain", "bytes"])
    found: dict[str, int] = {}
    for name, size in zip(table["domain"].to_pylist(), table["bytes"].to_pylist(), strict=True):
        found[name] = found.get(name, 0) + size
    total = max(1, sum(found.values()))
    return {name: size / total for name, size in sorted(found.items())}
