"""`score`: how probable sentences are, pair by pair: the mouse ate the cheese, and the reverse."""

from __future__ import annotations

from pydantic import Field

from gristmill.core.figure import Figure, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, stage

RESULTS = "results.json"


class ScoreConfig(StageConfig):
    """Which sentences."""

    examples: bool = True
    """The built-in pairs, which differ in meaning or in grammar."""
    sentences: tuple[str, ...] = Field((), max_length=10_000)
    """Sentences to score; each two that follow each other are a pair, the likelier one first."""
    pairs: tuple[str, ...] = content_of(())
    """Files of pairs: two sentences a line with a tab between, or JSON Lines with `likely` and
    `unlikely`."""


@stage(
    "score",
    version=1,
    kind="evaluation",
    config=ScoreConfig,
    inputs={"model": Slot("model")},
    summary="give the log-probability of sentences, pair by pair",
    example='gristmill score --model FOLDER --sentences "[The cat sat., Sat cat the.]"',
)
def score(config: ScoreConfig, inputs: Inputs, output: Output) -> None:
    """Figures: `score.accuracy`, the share of pairs whose likely sentence is the more probable."""
    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.sentences import (
        EXAMPLES,
        SentencePair,
        pair_table,
        read_pairs,
        right,
        score_pairs,
        score_sentences,
    )
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.tokenizer import Tokenizer

    own = list(config.sentences)
    pairs = list(EXAMPLES) if config.examples else []
    for path in config.pairs:
        pairs += read_pairs(path)
    pairs += [SentencePair(*own[i : i + 2]) for i in range(0, len(own) - 1, 2)]
    if not pairs and not own:
        raise GristmillError(
            "nothing to score", mend="give --sentences, --pairs or --examples true"
        )
    folder = inputs["model"].path
    engine = Engine(load_model(folder, choose_device(output.execution.device)))
    tokenizer = Tokenizer.load(folder)
    scored = score_pairs(engine, tokenizer, pairs, engine.context)
    alone = score_sentences(engine, tokenizer, own[len(own) // 2 * 2 :], engine.context)
    if scored:
        output.tables.append(pair_table(scored))
        output.figures["score.accuracy"] = right(scored)
        output.figures["score.chance"] = Figure(0.5, n=len(scored))
        for kind in sorted({pair.kind for pair in pairs}):
            output.figures[f"score.accuracy.{kind}"] = right(
                [s for s in scored if s[0].kind == kind]
            )
    if alone:
        rows = [[s.text, s.tokens, s.log_probability, s.bits_per_byte] for s in alone]
        columns = ["sentence", "tokens", "log p", "bits per byte"]
        output.tables.append(Table("Sentences", columns, rows))
    output.counts.update(pairs=len(scored), sentences=2 * len(scored) + len(alone))
    everything = [s for _, likely, unlikely in scored for s in (likely, unlikely)] + alone
    write_json(
        output.path / RESULTS,
        {
            "pairs": [
                {"likely": pair.likely, "unlikely": pair.unlikely, "kind": pair.kind}
                for pair in pairs
            ],
            "sentences": [
                {
                    "text": s.text,
                    "tokens": s.tokens,
                    "log_probability": round(s.log_probability, 4),
                    "bits_per_byte": round(s.bits_per_byte, 4),
                }
                for s in everything
            ],
        },
    )
