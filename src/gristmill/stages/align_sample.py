"""`align sample`: several answers of a model to each prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.figure import Samples
from gristmill.core.progress import Progress, progress
from gristmill.core.run import Run
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage

if TYPE_CHECKING:
    from gristmill.align.chats import Answers, Chat
    from gristmill.align.sampling import HowSampled
    from gristmill.infer.engine import Engine
    from gristmill.tokenizer.chat import ChatFormat

# The chats that are asked, and the file that their answers go to.
SOURCES = {"train": "prompts", "heldout": "heldout"}


class SampleConfig(StageConfig):
    """How many prompts, and how they are answered."""

    samples: int = Field(4, ge=1)
    """Answers drawn for each prompt, beside the greedy one, which is the baseline."""
    temperature: float = Field(1.0, gt=0)
    """At 1 the answers are draws from the model itself."""
    max_tokens: int = Field(80, ge=1)
    """Longer answers are cut there, and count as not stopped."""
    prompts: int | None = Field(1500, ge=1)
    """Prompts that are answered for training; all where null."""
    heldout: int | None = Field(300, ge=0)
    """Held-out questions that are answered; all where null."""
    max_rows: int = local(128, ge=1)
    """Answers made at once."""


@stage(
    "align sample",
    version=1,
    kind="answers",
    config=SampleConfig,
    inputs={"model": Slot("model", help="an assistant"), "chats": Slot("chats")},
    summary="draw several answers of a model to each prompt",
    example="gristmill align sample --model SFT --chats CHATS --samples 4",
    seeded=True,
)
def align_sample(config: SampleConfig, inputs: Inputs, output: Output) -> None:
    """train.jsonl (of prompts.jsonl) and heldout.jsonl. Figures, of train: `sample.stops` and
    `sample.stops.greedy`, `sample.distinct`, `sample.tokens` and `sample.tokens.greedy`."""
    from gristmill.align.chats import read_answers, read_chats
    from gristmill.align.sampling import HowSampled, fitting, sampled_figures
    from gristmill.core.errors import GristmillError
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer

    folder = inputs["model"].path
    chat_format = ChatFormat.load(folder, Tokenizer.load(folder))
    engine = Engine(
        load_model(folder, choose_device(output.execution.device)), max_rows=config.max_rows
    )
    how = HowSampled(config.samples, config.temperature, config.max_tokens)
    asked: dict[str, list[Chat]] = {}
    for split, most in (("train", config.prompts), ("heldout", config.heldout)):
        source = inputs["chats"].path / f"{SOURCES[split]}.jsonl"
        chats, rejects = read_chats(source)
        kept, too_long = fitting(chats[:most], chat_format, engine.context)
        output.counts[f"{split}_rejected"] = output.reject(split, [*rejects, *too_long])
        asked[split] = kept
    if not asked["train"]:
        raise GristmillError(
            "no prompt to answer",
            where=inputs["chats"].path / f"{SOURCES['train']}.jsonl",
            mend="make chats with a larger share of prompts",
        )
    bar = progress("align sample", float(sum(map(len, asked.values()))), "prompts")
    try:
        for split, chats in asked.items():
            file = output.path / f"{split}.jsonl"
            sample_on(output.run, file, engine, chat_format, chats, how, output.seed, bar)
            answers, _ = read_answers(file)
            output.counts[split] = len(answers)
            figures = sampled_figures(answers)
            prefix = "sample" if split == "train" else "sample.heldout"
            output.figures.update({f"{prefix}.{name}": f for name, f in figures.items()})
            if split == "train":
                output.samples.append(_samples(answers))
    finally:
        bar.close()


def sample_on(
    run: Run,
    file: Path,
    engine: Engine,
    chat_format: ChatFormat,
    chats: list[Chat],
    how: HowSampled,
    seed: int,
    bar: Progress,
) -> None:
    """Writes the answers to all chats into `file`.

    Each chunk goes to the run before the next begins, so that a sampling that was killed goes on
    after its last whole chunk, with the same chunks.
    """
    from gristmill.align.chats import record_to_json
    from gristmill.align.sampling import chunks, sample_chunk
    from gristmill.core.canonical import write_text_atomic

    name = f"sampled.{file.name}"
    done = len(run.read(name))
    for number, chunk in enumerate(chunks(chats)):
        if number >= done:
            answers = sample_chunk(engine, chat_format, chunk, how, seed)
            run.append(name, {"answers": [record_to_json(one) for one in answers]})
        bar.advance(len(chunk))
    records = [record for chunk in run.read(name) for record in chunk["answers"]]
    lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) for record in records]
    write_text_atomic(file, "".join(f"{line}\n" for line in lines))


def _samples(answers: list[Answers], most: int = 8) -> Samples:
    rows = []
    for one in answers[:: max(1, len(answers) // most)][:most]:
        row = {"question": one.messages[-1].content}
        for place, answer in enumerate(one.answers[:5]):
            ended = "" if answer.stopped else " [not ended]"
            row["greedy" if place == 0 else f"draw {place}"] = answer.content + ended
        rows.append(row)
    return Samples("Sampled answers", rows, layout="columns")
