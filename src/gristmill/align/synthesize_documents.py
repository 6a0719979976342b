"""Documents that a generator wrote from seeds, each with where it came from and what it copies.

The seeds are taken in blocks. The answers to a block's requests are written down as they come, then
judged, and the block's documents are one part; a killed run goes on after its last whole part, and
within the next one after its last answer. What is kept of a block depends on the blocks before it
(no text may be like an earlier one), so blocks are judged in order.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.align.novelty import Compared, Earlier
from gristmill.align.seeds import SCHEME, Seed, Seeds, passages
from gristmill.align.styles import Style, drawn
from gristmill.align.synthetic_checks import Limits, Verdict, judged
from gristmill.core.progress import Progress
from gristmill.core.run import Run
from gristmill.core.seeds import derive_seed
from gristmill.data.documents import write_parquet
from gristmill.data.journal import PartJournal
from gristmill.data.sources.parts import PartWriter
from gristmill.infer.text import TextAnswer, TextGenerator, TextRequest
from gristmill.tokenizer.chat import Message

REJECTS = "synthetic"
SYNTHETIC = "synthetic"
"""Folder of how the documents were made."""
_SAMPLE_CHARACTERS = 300
_SAMPLES = 6


def synthetic_schema() -> pa.Schema:
    """How a synthetic document was made; row-aligned with its documents, and content as they are.

    seed_group: the near-duplicate group of the seed, of which all must stand on one side of a
    split. prompt: digest of the style's template. copied, run, jaccard: see `novelty.Likeness`.
    """
    strings = (
        "id", "seed", "seed_url", "seed_domain", "seed_group", "style", "prompt", "generator",
        "made_by",
    )  # fmt: skip
    return pa.schema(
        [
            *(pa.field(name, pa.string(), nullable=False) for name in strings),
            pa.field("passage", pa.int32(), nullable=False),
            pa.field("temperature", pa.float64(), nullable=False),
            pa.field("max_tokens", pa.int32(), nullable=False),
            pa.field("sampling_seed", pa.int64(), nullable=False),
            pa.field("finish", pa.string(), nullable=False),
            pa.field("tokens_in", pa.int64()),
            pa.field("tokens_out", pa.int64()),
            pa.field("copied", pa.float64(), nullable=False),
            pa.field("run", pa.int32(), nullable=False),
            pa.field("jaccard", pa.float64(), nullable=False),
        ]
    )


@dataclass(frozen=True)
class Made:
    """By whom: a name, and what tells this one from others of the name (a hash, an address)."""

    name: str
    identity: str


@dataclass(frozen=True)
class Plan:
    """What is asked of each seed. per_passage: styles drawn for each passage. domain: of the
    documents; `{style}` in it stands for the style's name. licence: that they state. block: at most
    so many seeds in one part."""

    styles: tuple[Style, ...]
    limits: Limits
    per_passage: int = 1
    characters: int = 2000
    passages: int = 1
    temperature: float = 0.7
    max_tokens: int = 512
    domain: str = "synthetic"
    licence: str | None = None
    block: int = 1000


@dataclass(frozen=True)
class Asked:
    """One request, and what it is about."""

    seed: Seed
    passage: int
    text: str
    style: Style
    request: TextRequest

    @property
    def url(self) -> str:
        """`synthetic://rephrase/SEED/0`."""
        return f"{SCHEME}://{self.style.name}/{self.seed.id}/{self.passage}"


@dataclass
class Result:
    """Counts over all blocks. asked, kept: by style; rejected: by style and reason."""

    seeds: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    unmetered: int = 0
    parts: int = 0
    samples: list[dict[str, str]] = field(default_factory=list)

    def add(self, note: dict[str, Any]) -> None:
        """Adds what the note of a part says."""
        self.seeds += note["seeds"]
        self.asked.update(note["asked"])
        self.kept.update(note["kept"])
        self.words.update(note["words"])
        self.rejected.update({(style, why): n for style, why, n in note["rejected"]})
        self.tokens_in += note["tokens_in"]
        self.tokens_out += note["tokens_out"]
        self.unmetered += note["unmetered"]
        self.parts += 1
        self.samples += note["samples"][: _SAMPLES - len(self.samples)]


def synthesize_documents(
    seeds: Seeds,
    plan: Plan,
    generator: Callable[[Run], TextGenerator],
    made: Made,
    run: Run,
    output: Path,
    seed: int,
    progress: Progress,
) -> Result:
    """Writes documents/, provenance/, synthetic/ and rejects/ below `output`.

    generator: one that keeps its answers in the run that it is given. progress: advances by one for
    each request of `count_requests`.
    """
    journal = PartJournal(run.path, "documents")
    result, earlier = Result(), Earlier(plan.limits.near)
    whole = list(journal.parts)
    for note in journal.notes():
        result.add(note)
        progress.advance(sum(note["asked"].values()))
    for part in whole:
        file = journal.folder / "documents" / f"{part}.parquet"
        earlier.add(pq.read_table(file, columns=["text"])["text"].to_pylist())
    writer = PartWriter(journal.folder, parts=len(whole), columns=["domain"])
    # Parts of even size: where few may stay without an answer, a small last one would fail at one.
    size = -(-len(seeds) // -(-len(seeds) // plan.block))
    for block in islice(_blocks(seeds, size), len(whole), None):
        asked = [one for chosen in block for one in requests_of(chosen, plan, seed)]
        folder = run.path / "answers" / writer.part
        folder.mkdir(parents=True, exist_ok=True)
        answers = generator(Run(folder)).answer([one.request for one in asked], progress)
        note = _write_block(writer, journal, asked, answers, plan, made, earlier)
        result.add(note)
        shutil.rmtree(folder)
    journal.hand_over(output)
    return result


def requests_of(seed: Seed, plan: Plan, drawing: int) -> Iterator[Asked]:
    """What is asked about one seed: each passage in the styles that are drawn for it."""
    for number, text in enumerate(
        passages(seed.text, characters=plan.characters, most=plan.passages)
    ):
        for style in drawn(plan.styles, plan.per_passage, drawing, seed.id, number):
            request = TextRequest(
                (Message("user", style.prompt(text)),),
                plan.max_tokens,
                plan.temperature,
                derive_seed(drawing, "text", seed.id, number, style.name),
            )
            yield Asked(seed, number, text, style, request)


def count_requests(seeds: Seeds, plan: Plan) -> int:
    """How many requests there are in all."""
    each = min(plan.per_passage, len(plan.styles))
    if plan.passages == 1:
        return each * len(seeds)
    return each * sum(
        len(passages(one.text, characters=plan.characters, most=plan.passages)) for one in seeds
    )


def _blocks(seeds: Iterable[Seed], size: int) -> Iterator[list[Seed]]:
    rest = iter(seeds)
    while block := list(islice(rest, size)):
        yield block


def _write_block(
    writer: PartWriter,
    journal: PartJournal,
    asked: Sequence[Asked],
    answers: Sequence[TextAnswer],
    plan: Plan,
    made: Made,
    earlier: Earlier,
) -> dict[str, Any]:
    """Judges the answers and writes one part; returns its note, which the journal holds."""
    found = Result()
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    of_seed, compared = "", Compared("")
    for one, answer in zip(asked, answers, strict=True):
        if one.seed.id != of_seed:
            of_seed, compared = one.seed.id, Compared(one.seed.text)
        verdict = judged(
            answer,
            instruction=one.style.instruction,
            seed=compared,
            earlier=earlier,
            limits=plan.limits,
        )
        found.asked[one.style.name] += 1
        found.tokens_in += answer.tokens_in or 0
        found.tokens_out += answer.tokens_out or 0
        found.unmetered += answer.tokens_in is None or answer.tokens_out is None
        if verdict.reason is not None:
            found.rejected[one.style.name, verdict.reason] += 1
            rejects.append(_reject(one, answer, verdict))
            continue
        earlier.add([verdict.text])
        found.kept[one.style.name] += 1
        found.words[one.style.name] += len(verdict.text.split())
        rows.append(_add(writer, one, answer, verdict, plan, made))
        if len(found.samples) < _SAMPLES:
            found.samples.append(
                {
                    "style": one.style.name,
                    "seed": one.text[:_SAMPLE_CHARACTERS],
                    "synthetic": verdict.text[:_SAMPLE_CHARACTERS],
                }
            )
    part = writer.part
    file = f"{SYNTHETIC}/{part}.parquet"
    write_parquet(journal.folder / file, pa.Table.from_pylist(rows, schema=synthetic_schema()))
    note = {
        "seeds": len({one.seed.id for one in asked}),
        "asked": found.asked,
        "kept": found.kept,
        "words": found.words,
        "rejected": [[style, why, count] for (style, why), count in found.rejected.items()],
        "tokens_in": found.tokens_in,
        "tokens_out": found.tokens_out,
        "unmetered": found.unmetered,
        "samples": found.samples,
    }
    files = [*writer.end_part(), file, journal.write_rejects(part, REJECTS, rejects)]
    journal.end(part, files, note)
    return note


def _add(
    writer: PartWriter, one: Asked, answer: TextAnswer, verdict: Verdict, plan: Plan, made: Made
) -> dict[str, Any]:
    """Adds a document to the part; returns the row of how it was made."""
    style, likeness = one.style.name, verdict.likeness
    assert likeness is not None
    identity = writer.add(
        one.url,
        verdict.text,
        f"{SCHEME}:{made.name}",
        {
            "attributes": {"seed": one.seed.id, "style": style},
            "domain": plan.domain.replace("{style}", style),
            "licence": plan.licence,
        },
    )
    return {
        "id": identity,
        "seed": one.seed.id,
        "seed_url": one.seed.url,
        "seed_domain": one.seed.domain,
        "seed_group": one.seed.group,
        "style": style,
        "prompt": one.style.digest,
        "generator": made.name,
        "made_by": made.identity,
        "passage": one.passage,
        "temperature": one.request.temperature,
        "max_tokens": one.request.max_tokens,
        "sampling_seed": one.request.seed,
        "finish": answer.finish,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "copied": round(likeness.copied, 4),
        "run": likeness.run,
        "jaccard": round(likeness.jaccard, 4),
    }


def _reject(one: Asked, answer: TextAnswer, verdict: Verdict) -> dict[str, Any]:
    record: dict[str, Any] = {
        "where": one.url,
        "reason": verdict.reason,
        "sample": (answer.error or verdict.text)[:_SAMPLE_CHARACTERS],
    }
    if verdict.likeness is not None:
        record["copied"] = round(verdict.likeness.copied, 4)
        record["run"] = verdict.likeness.run
    return record
