"""`data index`: where every run of tokens stands in the training text, for `trace`."""

from __future__ import annotations

from gristmill.core.canonical import write_json
from gristmill.core.figure import Figure, Table
from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage

CHANCE = "chance.json"


class DataIndexConfig(StageConfig):
    """Nothing to choose: the tokens decide the result."""


@stage(
    "data index",
    version=1,
    kind="index",
    config=DataIndexConfig,
    inputs={"tokens": Slot("tokens", help="token shards; their training split is indexed")},
    summary="sort all places of the training text, so that trace finds any run of tokens in it",
    example="gristmill data index --tokens runs/demo/artifacts/tokenizer.encode-1a2b",
)
def data_index(config: DataIndexConfig, inputs: Inputs, output: Output) -> None:
    """Writes the suffix array, token counts, and what held-out text shares by chance."""
    from gristmill.data.spans import measure_chance
    from gristmill.data.suffix_index import SuffixIndex, build
    from gristmill.tokenizer.shards import TokenShards

    tokens = inputs["tokens"].path
    bar = progress("data index", None, "tokens")
    try:
        built = build(tokens, output.path, bar=bar)
    finally:
        bar.close()
    index = SuffixIndex.open(output.path, tokens)
    held_out = None
    if "heldout" in inputs["tokens"].read_json("tokens.json")["splits"]:
        held_out = TokenShards.open(tokens, "heldout")
    chance = measure_chance(index, held_out)
    write_json(output.path / CHANCE, chance.to_json())
    size = sum(path.stat().st_size for path in output.path.iterdir())
    output.counts.update(tokens=built["tokens"], suffixes=built["suffixes"], bytes=size)
    output.figures["index.bytes_per_token"] = Figure(round(size / max(1, built["tokens"]), 3))
    output.figures["index.finding_bits"] = Figure(chance.bits, n=chance.spans)
    output.tables.append(
        Table(
            "What counts as a finding",
            ["held-out documents", "runs that training text shares", "bits of a finding"],
            [[chance.documents, chance.spans, chance.bits]],
            note="A run of an answer is a finding when it is as improbable, by the frequencies of "
            "its tokens, as one in 200 of the runs that held-out pages share with training text.",
        )
    )
