"""A plan as a recipe file: the size and the tokens, what follows from them, and what it needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.core.errors import GristmillError
from gristmill.scaling import dial
from gristmill.scaling.cost import explain
from gristmill.scaling.planner import STATE_BYTES

# (parameters from which on, vocabulary): a larger model has use for a larger vocabulary (Tao et al.
# 2024); 128 thousand is Llama 3's, at every size.
_VOCABULARIES = ((8e9, 131072), (1e9, 65536), (3e7, 32768), (0.0, 4096))
_CONTEXTS = ((1e9, 4096), (3e7, 1024), (0.0, 256))


@dataclass(frozen=True)
class Machine:
    """What this machine has. memory: bytes. speed: operations a second that a training reaches,
    about."""

    memory: float
    cores: int
    speed: float


def vocabulary_for(parameters: float) -> int:
    """Tokens of the vocabulary for a model of this size."""
    return next(size for least, size in _VOCABULARIES if parameters >= least)


def context_for(parameters: float) -> int:
    """Tokens that a model of this size reads at once."""
    return next(length for least, length in _CONTEXTS if parameters >= least)


def not_runnable(parameters: float, flops: float, machine: Machine) -> list[str]:
    """Why this machine cannot do it, in sentences; empty where it can in a week."""
    reasons = []
    state = STATE_BYTES * parameters
    if state > machine.memory:
        reasons.append(
            f"the training state takes {state / 1e9:,.0f} GB and this machine has "
            f"{machine.memory / 1e9:,.0f} GB"
        )
    days = flops / machine.speed / 86400
    if days > 7:
        time = f"{days / 365:,.0f} years" if days > 730 else f"{days:,.0f} days"
        reasons.append(f"{machine.cores} cores would take about {time}")
    return reasons


def recipe_text(
    parameters: float,
    tokens: float,
    *,
    about: str,
    remarks: Sequence[str] = (),
    text: str = "texts",
    vocab_size: int | None = None,
    context: int | None = None,
) -> str:
    """A recipe that `gristmill config validate` takes: own-text with this size and budget.

    text: the folder of one's own text that it reads. remarks: sentences that stand at the top as
    comments. What the dial derives stands there too, with its reasons: it is derived again when the
    recipe runs.
    """
    vocab_size = vocab_size or vocabulary_for(parameters)
    context = context or context_for(parameters)
    try:
        turned = dial.turn(parameters, vocab_size=vocab_size, context=context, tokens=round(tokens))
        derived = [line for line in explain(turned) if not line.startswith("time")]
    except GristmillError as error:
        derived = [f"no shape of the dial is near: {error.what}"]
    lines = [f"# {line}" for text in (about, *remarks) for line in _wrapped(text)]
    lines += ["#", "# What the size dial derives from this:"]
    lines += [f"#   {line}" for text in derived for line in _wrapped(text, 90)]
    lines += [
        "",
        "extends: own-text",
        "recipe: planned",
        "workspace: runs/planned",
        "",
        "data:",
        "  import:",
        "    # A folder of txt, Markdown, JSONL or Parquet.",
        f"    path: {json.dumps(text, ensure_ascii=False)}",
        "",
        "tokenizer:",
        "  train:",
        f"    vocab_size: {vocab_size}",
        "",
        "train:",
        "  lm:",
        f"    # Millions of parameters, {parameters:.4g} in all.",
        f"    size: {parameters / 1e6:.6g}",
        f"    token_budget: {round(tokens)}",
        f"    context: {context}",
        "",
    ]
    return "\n".join(lines)


def _wrapped(text: str, width: int = 94) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]
