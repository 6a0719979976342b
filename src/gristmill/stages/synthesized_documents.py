"""`align synthesize --kind documents`: what is asked of which generator, and what came of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.progress import progress
from gristmill.stages.stage import (
    Inputs,
    Output,
    StageConfig,
    content_of,
    function_name,
    local,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gristmill.align.synthesize_documents import Made, Plan, Result
    from gristmill.core.artifact import Artifact
    from gristmill.core.run import Run
    from gristmill.infer.text import TextGenerator

_ROUNDS_OF = 4
"""Rows of the engine that one round fills, so that few stand empty at its end."""


class DocumentsConfig(StageConfig):
    """Documents that a generator writes from seed documents."""

    styles: tuple[str, ...] = ("rephrase",)
    """rephrase, questions (and answers), textbook; continue: for a base model, which goes on from
    the seed's opening."""
    prompt_files: tuple[str, ...] = content_of(())
    """Styles of one's own: text files with {text} once, named as the file."""
    per_passage: int = Field(1, ge=1)
    """Styles drawn for each passage; all where there are fewer."""
    seeds: int | None = Field(None, ge=1)
    """At most so many seed documents, drawn by their ids; all of the training split where null."""
    seed_words: int = Field(30, ge=1)
    """Shorter documents are no seeds."""
    seed_characters: int = Field(2000, ge=100)
    """Longest passage of a seed in one request; it must leave room in the generator's context."""
    passages: int = Field(1, ge=1)
    """Passages of a seed that are taken, from its beginning on."""
    domain: str = "synthetic"
    """The documents' domain, for data mix to weigh; {style} in it stands for the style."""
    licence: str | None = None
    """The licence that the documents state; what their seeds' licences and the generator's terms
    allow is yours to know."""
    temperature: float = Field(0.7, ge=0)
    """0 always takes the most probable token."""
    max_tokens: int = Field(512, ge=1)
    """Longest answer."""
    cut: Literal["reject", "trim"] = "reject"
    """An answer that reaches max_tokens is dropped, or ends with its last whole sentence."""
    min_words: int = Field(30, ge=1)
    """Shorter answers are dropped."""
    most_copied: float = Field(0.4, ge=0, le=1)
    """Share of an answer's word 8-grams that may stand in its seed."""
    longest_run: int = Field(40, ge=1)
    """Words of the longest passage of its seed that an answer may hold."""
    near: float = Field(0.8, gt=0, le=1)
    """Jaccard similarity (word 5-grams) from which two texts are near-duplicates."""
    refusals: tuple[str, ...] = ()
    """Further beginnings of refusals, beside the usual English ones."""
    endpoint: str | None = None
    """An OpenAI-compatible endpoint that writes, up to and with /v1."""
    endpoint_model: str = ""
    """The name by which the endpoint knows the generator."""
    endpoint_api: Literal["chat", "completions"] = "chat"
    """completions: the prompt as plain text, for a base model."""
    endpoint_key: str = local("")
    """The environment variable that holds its API key; where none is named none is sent. The key
    itself is stored nowhere."""
    function: str | None = function_name(None)
    """A generator of one's own: module:function that returns an object with `answer(requests,
    progress)`, as `infer.text.TextGenerator` has it."""
    concurrency: int = local(8, ge=1)
    """Requests to the endpoint at once."""
    timeout: float = local(120.0, gt=0)
    """Seconds for one request."""
    retries: int = local(5, ge=0)
    """Further tries of a request."""
    failed_share: float = local(0.02, ge=0, lt=1)
    """Share of the requests of a part that may stay without an answer."""
    price_in: float = local(0.0, ge=0)
    """Money per million tokens that the endpoint reads."""
    price_out: float = local(0.0, ge=0)
    """Money per million tokens that it writes."""
    max_rows: int = local(64, ge=1)
    """Answers that a model here writes at once."""
    seeds_per_part: int = Field(1000, ge=1)
    """At most so many seeds' documents lie in one part."""


def write_documents(config: DocumentsConfig, inputs: Inputs, output: Output) -> None:
    """documents/, synthetic/ (seed, style, generator, sampling and likeness of each), rejects/.
    Figures `synthetic.documents`, `.kept`, `.copied`, `.run`, `.tokens`, `.cost`."""
    from gristmill.align.seeds import choose_seeds
    from gristmill.align.synthesize_documents import count_requests, synthesize_documents
    from gristmill.core.errors import GristmillError

    mixture = inputs.get("mixture")
    if mixture is None:
        raise GristmillError("no seed documents", mend="give --mixture FOLDER")
    generator, made = _generator(config, inputs, output)
    plan = _plan(config)
    seeds = choose_seeds(
        mixture.path, most=config.seeds, min_words=config.seed_words, seed=output.seed
    )
    bar = progress("align synthesize", float(count_requests(seeds, plan)), "texts")
    try:
        result = synthesize_documents(
            seeds, plan, generator, made, output.run, output.path, output.seed, bar
        )
    finally:
        bar.close()
    output.volatile.add("provenance/")
    if not result.kept.total():
        raise _nothing(result, made)
    for reason, count in sorted(seeds.left_out.items()):
        output.notes.append(f"No seeds: {count} documents {reason}.")
    _present(config, result, made, output)


def _plan(config: DocumentsConfig) -> Plan:
    from gristmill.align.styles import styles_of
    from gristmill.align.synthesize_documents import Plan
    from gristmill.align.synthetic_checks import Limits
    from gristmill.data.licences import licence_name

    return Plan(
        tuple(styles_of(config.styles, config.prompt_files)),
        Limits(
            config.min_words, config.most_copied, config.longest_run, config.near, config.cut,
            config.refusals,
        ),
        per_passage=config.per_passage,
        characters=config.seed_characters,
        passages=config.passages,
        temperature=config.temperature,
        max_tokens=config.max_tokens,
        domain=config.domain,
        licence=licence_name(config.licence) if config.licence else None,
        block=config.seeds_per_part,
    )  # fmt: skip


def _generator(
    config: DocumentsConfig, inputs: Inputs, output: Output
) -> tuple[Callable[[Run], TextGenerator], Made]:
    """Who writes. Raises GristmillError where none is given, or two."""
    from gristmill.align.kept_answers import KeptAnswers
    from gristmill.align.synthesize_documents import Made
    from gristmill.core.errors import GristmillError
    from gristmill.core.extension import extension_hash, load_extension
    from gristmill.infer.endpoint import Endpoint, Settings
    from gristmill.stages.judging import local_text

    model: Artifact | None = inputs.get("generator")
    given = [one for one in (model, config.endpoint, config.function) if one is not None]
    if len(given) != 1:
        raise GristmillError(
            "no generator" if not given else f"{len(given)} generators at once",
            mend="give one of --generator MODEL, --documents.endpoint URL and "
            "--documents.function module:function",
        )
    if config.endpoint is not None:
        settings = Settings(
            config.endpoint, config.endpoint_model, config.endpoint_api, config.endpoint_key,
            config.concurrency, config.timeout, config.retries, failed_share=config.failed_share,
            price_in=config.price_in, price_out=config.price_out,
        )  # fmt: skip
        Endpoint(settings)  # an address or key that is none is told before anything is read
        return lambda run: Endpoint(settings, run), Made(config.endpoint_model, config.endpoint)
    if model is not None:
        local_model = local_text(model, output, config.max_rows)
        name, identity = model.stage, model.content
    else:
        assert config.function is not None
        local_model = load_extension(config.function)()
        name, identity = config.function.rpartition(":")[2], extension_hash(config.function)
    rounds = _ROUNDS_OF * config.max_rows
    return lambda run: KeptAnswers(local_model, run, rounds), Made(name, identity)


def _nothing(result: Result, made: Made) -> Exception:
    from gristmill.core.errors import GristmillError

    reasons: Counter[str] = Counter()
    for (_, reason), count in result.rejected.items():
        reasons[reason] += count
    reason, count = reasons.most_common(1)[0]
    return GristmillError(
        f"none of {result.asked.total()} texts was kept; {count} for this reason: {reason}",
        where=made.name,
        mend="see what it writes with a chat, or change --documents.max_tokens, --documents.cut, "
        "--documents.styles or the limits",
    )


def _present(config: DocumentsConfig, result: Result, made: Made, output: Output) -> None:
    import pyarrow.parquet as pq

    from gristmill.core.figure import Figure, Samples, Table, proportion, t_mean

    copied: list[float] = []
    runs: list[float] = []
    for path in sorted((output.path / "synthetic").glob("part-*.parquet")):
        table = pq.read_table(path, columns=["copied", "run"])
        copied += table["copied"].to_pylist()
        runs += map(float, table["run"].to_pylist())
    asked, kept = result.asked.total(), result.kept.total()
    share = 100 * sum(copied) / len(copied)
    by = made.identity if config.endpoint is not None else made.identity[:16]
    output.counts.update(
        seeds=result.seeds, texts=asked, documents=kept, rejected=asked - kept,
        words=result.words.total(),
    )  # fmt: skip
    output.figures["synthetic.documents"] = Figure(float(kept))
    output.figures["synthetic.kept"] = proportion(kept, asked)
    output.figures["synthetic.copied"] = t_mean(copied)
    output.figures["synthetic.run"] = t_mean(runs)
    output.figures["synthetic.tokens"] = Figure(float(result.tokens_out), n=asked)
    if config.price_in or config.price_out:
        cost = result.tokens_in * config.price_in + result.tokens_out * config.price_out
        output.figures["synthetic.cost"] = Figure(cost / 1e6, n=asked)
        if result.unmetered:
            output.notes.append(f"{result.unmetered} answers came without a count of tokens.")
    output.tables.append(
        Table(
            "Synthetic documents",
            ("style", "asked", "kept", "words"),
            [(s, n, result.kept[s], result.words[s]) for s, n in sorted(result.asked.items())],
            f"Written by {made.name} ({by}), at temperature {config.temperature:g}. Of a kept "
            f"text's word 8-grams {share:.1f}% stand in its seed.",
        )
    )
    if result.rejected:
        rows = [(style, why, n) for (style, why), n in sorted(result.rejected.items())]
        output.tables.append(Table("Texts that were dropped", ("style", "reason", "texts"), rows))
    output.samples.append(Samples("Seeds and what was written from them", result.samples))
