"""`evaluate perplexity`: held-out bits per byte of models beside a unigram and a 5-gram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.figure import Figure, Samples
from gristmill.core.progress import progress
from gristmill.stages.model_names import each_once
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gristmill.core.artifact import Artifact
    from gristmill.evaluate.perplexity import DocumentTokens, Perplexity

RESULTS = "results.json"


class PerplexityConfig(StageConfig):
    """What is scored, and beside what."""

    split: Literal["heldout", "train", "anneal"] = "heldout"
    max_documents: int | None = Field(None, ge=1)
    """Only the first of the split's documents, which are in shuffled order."""
    context: int | None = Field(None, ge=2)
    """Tokens that a model sees at most (default: what it was trained for)."""
    stride: int | None = Field(None, ge=1)
    """New tokens in each window of a longer document (default: half the context)."""
    ngram_order: int = Field(5, ge=1, le=8)
    resamples: int = Field(1000, ge=100)
    """Of the documents, for the intervals."""
    batch_tokens: int = local(4096, ge=1)
    """Tokens scored at once."""


@stage(
    "evaluate perplexity",
    version=2,
    kind="evaluation",
    config=PerplexityConfig,
    inputs={
        "model": Slot("model"),
        "tokens": Slot(
            "tokens", help="the splits that the n-gram models count and all are scored on"
        ),
        "others": Slot("model", optional=True, many=True, help="more models of the same tokenizer"),
        "text": Slot(
            "mixture",
            optional=True,
            named=True,
            help="score the held-out documents of this mixture, in place of the tokens' split",
        ),
        "trained": Slot(
            "mixture",
            optional=True,
            many=True,
            named=True,
            help="leave out of that text what these mixtures train on",
        ),
    },
    summary="measure held-out bits per byte beside n-gram models",
    example="gristmill evaluate perplexity --model FOLDER --tokens FOLDER",
    seeded=True,
)
def evaluate_perplexity(config: PerplexityConfig, inputs: Inputs, output: Output) -> None:
    """Figures: base, unigram and ngram5 `.bits_per_byte`; a table by domain; a chart by place."""
    import math

    from gristmill.core.canonical import write_json
    from gristmill.evaluate.likelihood import score_documents
    from gristmill.evaluate.ngram import KneserNey
    from gristmill.evaluate.perplexity import (
        Perplexity,
        Unigram,
        bounds_table,
        by_domain,
        by_position,
        difference,
        read_documents,
        unigram_entropy,
    )
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model

    tokens = inputs["tokens"]
    shared = _shared_text(config, inputs, output)
    data = shared or read_documents(tokens.path, config.split)
    data = data.first(config.max_documents)
    counted = read_documents(tokens.path, "train", unique=True)
    ngram_name = f"{config.ngram_order}-gram"
    apart: dict[str, list[NDArray[np.float64]]] = {}
    bar = progress("evaluate perplexity", None, "tokens")
    try:
        bar.note(f"counting {config.ngram_order}-grams")
        ngram = KneserNey.train(counted.documents, data.vocab_size, data.eot_id, config.ngram_order)
        unigram = Unigram(counted.documents, data.vocab_size, data.eot_id)
        scores = {
            "unigram": unigram.log_probabilities(data.documents),
            ngram_name: ngram.log_probabilities(data.documents),
        }
        for name, artifact in models_by_name(inputs).items():
            _check_tokenizer(artifact, tokens)
            bar.note(name)
            model = load_model(artifact.path, choose_device(output.execution.device))
            context = config.context or model.config.context
            engine = Engine(model, context=context, batch_tokens=config.batch_tokens)
            scores[name] = score_documents(
                engine, data.documents, data.eot_id, context, config.stride, bar
            )
            # Documents that fit the context are read whole either way: only the others again.
            long = [i for i, ids in enumerate(data.documents) if len(ids) + 1 > context]
            again = score_documents(
                engine, [data.documents[i] for i in long], data.eot_id, context, context, bar
            )
            apart[name] = list(scores[name])
            for i, log_p in zip(long, again, strict=True):
                apart[name][i] = log_p
            output.counts[f"{name}.long_documents"] = len(long)
    finally:
        bar.close()
    found = {name: Perplexity.of(log_p, data) for name, log_p in scores.items()}
    disjoint = {name: Perplexity.of(log_p, data) for name, log_p in apart.items()}
    seed = output.seed
    for name, perplexity in found.items():
        prefix = {"unigram": "unigram", ngram_name: f"ngram{config.ngram_order}"}.get(name, name)
        output.figures[f"{prefix}.bits_per_byte"] = perplexity.bits_per_byte(seed, config.resamples)
        output.figures[f"{prefix}.bits_per_byte_with_end"] = perplexity.with_end(
            seed, config.resamples
        )
        output.figures[f"{prefix}.token_perplexity"] = perplexity.token_perplexity(
            seed, config.resamples
        )
    for name, perplexity in disjoint.items():
        output.figures[f"{name}.bits_per_byte_disjoint"] = perplexity.bits_per_byte(
            seed, config.resamples
        )
        output.figures[f"{name}.disjoint_minus_strided"] = difference(
            perplexity, found[name], seed, config.resamples
        )
    output.figures["uniform.bits_per_byte"] = Figure(
        math.log2(data.vocab_size) * data.tokens / max(1, int(data.bytes_N.sum())), n=data.tokens
    )
    output.figures["unigram.entropy"] = Figure(unigram_entropy(data), n=data.tokens)
    output.figures[f"base.minus_ngram{config.ngram_order}"] = difference(
        found["base"], found[ngram_name], seed, config.resamples
    )
    output.tables.append(bounds_table(found, disjoint, data, seed, config.resamples))
    output.tables.append(by_domain(found, data.domains, seed, config.resamples))
    output.charts.append(by_position(scores))
    output.samples.append(_hardest(data, found["base"]))
    output.counts.update(
        documents=len(data.documents), tokens=data.tokens, bytes=int(data.bytes_N.sum())
    )
    write_json(output.path / RESULTS, _results(config, data, found, ngram.sizes))


def _shared_text(config: PerplexityConfig, inputs: Inputs, output: Output) -> DocumentTokens | None:
    """The documents of the slot `text` in the tokens' vocabulary; None where it is empty."""
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.shared_text import SharedText
    from gristmill.tokenizer.tokenizer import Tokenizer

    text = inputs.get("text")
    if text is None:
        if inputs.many("trained"):
            raise GristmillError("'trained' is of use only with 'text'", mend="give --text FOLDER")
        return None
    if config.split != "heldout":
        raise GristmillError(
            f"the text of a mixture is its held-out split, not '{config.split}'",
            mend="leave out either the setting 'split' or the input 'text'",
        )
    found = SharedText.read(text.path, [artifact.path for artifact in inputs.many("trained")])
    output.counts["left_out"] = found.left_out
    output.notes.append(
        f"Scored on the held-out documents of {text.stage} {text.manifest.key[:12]}; "
        f"{found.left_out} that a compared mixture trains on are left out."
    )
    return found.encoded(Tokenizer.load(inputs["tokens"].path))


def models_by_name(inputs: Inputs) -> dict[str, Artifact]:
    """`base` and the other models, each once, by the stage that made them."""
    base, *others = each_once([inputs["model"], *inputs.many("others")])
    named = {"base": base}
    for artifact in others:
        name = artifact.stage
        named[name if name not in named else f"{name}.{len(named)}"] = artifact
    return named


def _check_tokenizer(model: Artifact, tokens: Artifact) -> None:
    from gristmill.core.canonical import hash_file
    from gristmill.core.errors import GristmillError

    files = [artifact.file("tokenizer.json") for artifact in (model, tokens)]
    if hash_file(files[0]) != hash_file(files[1]):
        raise GristmillError(
            "the model was trained with another tokenizer than these tokens",
            where=model.path,
            mend="encode the mixture with the model's tokenizer",
        )


def _hardest(data: DocumentTokens, perplexity: Perplexity) -> Samples:
    """Documents from the easiest to the hardest, so that a person sees what the figure averages."""
    import numpy as np

    each = perplexity.bits_N / np.maximum(1, perplexity.bytes_N)
    order = np.argsort(each, kind="stable")
    picked = (
        order[np.linspace(0, len(order) - 1, min(8, len(order))).astype(int)] if len(order) else []
    )
    rows = [
        {"bits per byte": f"{each[i]:.3f}", "domain": data.domains[i], "document": data.urls[i]}
        for i in picked
    ]
    return Samples("Held-out documents, easiest to hardest for the model", rows)


def _results(
    config: PerplexityConfig, data: DocumentTokens, found: dict[str, Perplexity], sizes: list[int]
) -> dict[str, object]:
    return {
        "split": config.split,
        "documents": [
            {"id": name, "domain": domain, "bytes": int(size), "tokens": len(document)}
            for name, domain, size, document in zip(
                data.ids, data.domains, data.bytes_N, data.documents, strict=True
            )
        ],
        "ngrams": sizes,
        "bits": {
            name: {
                "text": [round(float(bits), 4) for bits in perplexity.bits_N],
                "end": [round(float(bits), 4) for bits in perplexity.end_bits_N],
            }
            for name, perplexity in found.items()
        },
    }
