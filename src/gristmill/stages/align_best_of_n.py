"""`align best-of-n`: many samples for each prompt, and what the best of n of them would score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.figure import Samples
from gristmill.core.run import Run
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage

if TYPE_CHECKING:
    from gristmill.align.chats import Chat
    from gristmill.align.drawing import Drawn
    from gristmill.align.intervals import Floats

ANSWERS = "answers.jsonl"
SCORES = "scores.json"
_SAMPLED = "sampled.jsonl"


class BestOfNConfig(StageConfig):
    """Which prompts, and how many samples of each."""

    split: Literal["heldout", "unseen", "prompts"] = "heldout"
    """Which questions of the chats."""
    prompts: int | None = Field(200, ge=1)
    """Only so many of them; all where null."""
    samples: int = Field(32, ge=1)
    """Answers to each. More than the largest n make its figure steadier."""
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16)
    """The n of best of n; those above `samples` are left out."""
    max_tokens: int = Field(48, ge=1)
    temperature: float = Field(1.0, gt=0)
    missing_end_score: float | None = -3.0
    """The reward of an answer that did not end by itself, as in PPO; the model's own where null."""
    max_rows: int = local(128, ge=1)
    """Answers made at once."""


@stage(
    "align best-of-n",
    version=1,
    kind="samples",
    config=BestOfNConfig,
    inputs={
        "model": Slot("model", help="samples the answers"),
        "reward": Slot("reward", help="picks among them"),
        "chats": Slot("chats", help="the questions"),
    },
    summary="measure the expected best of n answers, against KL",
    example="gristmill align best-of-n --model SFT --reward REWARD --chats CHATS",
    seeded=True,
)
def align_best_of_n(config: BestOfNConfig, inputs: Inputs, output: Output) -> None:
    """`answers.jsonl`: all samples with the reward's scores; `scores.json`: both scores of each."""
    import numpy as np

    from gristmill.align.best_of_n import (
        best_of_n_curve,
        curve_chart,
        curve_figures,
        curve_notes,
        curve_table,
    )
    from gristmill.align.chats import read_chats
    from gristmill.align.reward import RewardModel
    from gristmill.align.rules import score
    from gristmill.align.sampling import fitting
    from gristmill.core.errors import GristmillError
    from gristmill.infer.engine import Engine
    from gristmill.infer.generator import Sampling
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer

    folder = inputs["model"].path
    chat_format = ChatFormat.load(folder, Tokenizer.load(folder))
    engine = Engine(
        load_model(folder, choose_device(output.execution.device)), max_rows=config.max_rows
    )
    questions = inputs["chats"].path / f"{config.split}.jsonl"
    chats, rejects = read_chats(questions)
    chats, too_long = fitting(chats, chat_format, engine.context - config.max_tokens + 1)
    output.counts["rejected"] = output.reject("chats", [*rejects, *too_long])
    chats = chats[: config.prompts]
    if not chats:
        raise GristmillError("no questions that fit", where=questions)
    sampling = Sampling(config.max_tokens, config.temperature)
    drawn = sample_all(engine, chat_format, chats, sampling, config.samples, output)
    reward = RewardModel.load(inputs["reward"].path)
    # Not the +1 or -1 of a direct reward: what ranks answers is how sure it is.
    proxy_PN = drawn.matrix(reward.shaped(reward.raw(drawn.conversations)))
    if config.missing_end_score is not None:
        proxy_PN = np.where(drawn.stopped_PN, proxy_PN, config.missing_end_score)
    gold_PN = drawn.matrix(
        [
            float(score(answer, chat).total)
            for chat, row in zip(drawn.chats, drawn.answers, strict=True)
            for answer in row
        ]
    )
    points = best_of_n_curve(proxy_PN, gold_PN, config.sizes, output.seed)
    output.figures.update(curve_figures(points))
    output.tables.append(curve_table(points))
    output.charts.append(curve_chart(points))
    output.notes += curve_notes(points)
    output.samples.append(first_and_best(drawn, proxy_PN, gold_PN, points[-1].n))
    output.counts.update(prompts=len(chats), answers=proxy_PN.size)
    write_answers(output, drawn, proxy_PN, gold_PN)


def sample_all(
    engine: Any,
    chat_format: Any,
    chats: Sequence[Chat],
    sampling: Any,
    count: int,
    output: Output,
) -> Drawn:
    """The samples of all chats; those of an earlier attempt are read, not drawn again."""
    from gristmill.align.drawing import Drawn, draw
    from gristmill.align.sampling import answer_of
    from gristmill.core.progress import progress

    known = _earlier(output.run)
    bar = progress("align best-of-n", float(len(chats) * count), "answers")
    # Whole batches of the engine: a chunk is what a kill can cost.
    chunk = max(1, 2 * engine.max_rows // count)
    try:
        missing = [chat for chat in chats if chat.id not in known]
        bar.advance(float((len(chats) - len(missing)) * count))
        for start in range(0, len(missing), chunk):
            part = missing[start : start + chunk]
            drawn = draw(
                engine, chat_format, part, sampling, count=count, seed=output.seed, bar=bar
            )
            for chat, row in zip(part, drawn.completions, strict=True):
                lines = [[c.tokens, c.log_probabilities, c.finish] for c in row]
                # Process time of a chunk, evenly on its prompts.
                seconds = drawn.cpu_seconds / len(part)
                record = {"id": chat.id, "completions": lines, "cpu_seconds": seconds}
                output.run.append(_SAMPLED, record)
    finally:
        bar.close()
    known = _earlier(output.run)
    completions = [known[chat.id][0] for chat in chats]
    return Drawn(
        list(chats),
        [chat_format.prompt(chat.prompt) for chat in chats],
        completions,
        [[answer_of(one, chat_format) for one in row] for row in completions],
        sum(known[chat.id][1] for chat in chats),
    )


def _earlier(run: Run) -> dict[str, tuple[list[Any], float]]:
    from gristmill.infer.generator import Completion

    return {
        record["id"]: (
            [Completion(*line) for line in record["completions"]],
            record["cpu_seconds"],
        )
        for record in run.read(_SAMPLED)
    }


def first_and_best(drawn: Drawn, proxy_PN: Floats, gold_PN: Floats, n: int) -> Samples:
    """Prompts with their first sample and the best of the first n."""
    rows = []
    for p in range(min(10, len(drawn.chats))):
        best = int(proxy_PN[p, :n].argmax())
        row = {"question": drawn.chats[p].prompt[-1].content}
        for name, i in (("first sample", 0), (f"best of {n}", best)):
            scores = f"reward {proxy_PN[p, i]:.2f}, gold {gold_PN[p, i]:.2f}"
            row[name] = f"{drawn.answers[p][i].content}\n({scores})"
        rows.append(row)
    return Samples(f"One sample and the best of {n}", rows, layout="columns")


def write_answers(output: Output, drawn: Drawn, proxy_PN: Floats, gold_PN: Floats) -> None:
    """All samples, so that a comparison need not draw them again."""
    from dataclasses import replace

    from gristmill.align.chats import Answers, write_records
    from gristmill.core.canonical import write_json

    records = [
        Answers(
            chat.id,
            chat.prompt,
            tuple(replace(a, score=float(s)) for a, s in zip(row, scores, strict=True)),
            chat.group,
            chat.kind,
            chat.truth,
        )
        for chat, row, scores in zip(drawn.chats, drawn.answers, proxy_PN, strict=True)
    ]
    write_records(output.path / ANSWERS, records)
    write_json(
        output.path / SCORES,
        {
            "ids": [chat.id for chat in drawn.chats],
            "proxy": proxy_PN.round(6).tolist(),
            "gold": gold_PN.round(6).tolist(),
        },
    )
