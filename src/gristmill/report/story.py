"""What the report says first: what was made of what in plain words, and what deserves a look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gristmill.core.figure import Figure, short_count
from gristmill.report.elements import interval_text, text

Figures = Mapping[str, Mapping[str, Any]]

_ENOUGH = 0.95
"""A step that is right less often than this is worth a look."""

_STEPS = {
    "heuristics": "The published rules for text quality (Gopher, C4, FineWeb)",
    "boilerplate": "The rules against boilerplate",
    "spam": "The rules against spam",
    "adult": "The rules against adult text",
    "blocklist": "The list of blocked sites",
    "language": "The choice by language",
    "personal_data": "The search for personal data",
    "dedup.exact": "The search for exact copies",
    "dedup.near": "The search for near copies",
}
_METHODS = {
    "chosen": "further training on the preferred answers",
    "dpo": "DPO",
    "ppo": "PPO",
    "ppo_direct": "PPO with rewards of +1 and -1",
    "best_of_n": "choosing among several answers with the reward model",
}

TWO_MEASURES = (
    "Held out means two things here. While training, a probe measures the first full rows of "
    "context of the held-out text, cut without regard to where documents begin: cheap enough to "
    "repeat, and good for following one run. {name} reads every held-out document whole, each by "
    "itself, with an interval: that number is the one to quote and to compare. The two are of "
    "different text, so they differ."
)


def story(figures: Figures, counts: Mapping[str, Mapping[str, int]], words: int | None) -> str:
    """A paragraph as HTML, as far as the figures reach; nothing where there are none.

    counts: of each verb. words: of the documents that were left.
    """
    said = " ".join(
        [
            *_data(figures, counts, words),
            *_model(figures, counts),
            *_against_counts(figures),
            *_assistant(figures),
        ]
    )
    return f'<p class="story">{text(said)}</p>' if said else ""


def _data(
    figures: Figures, counts: Mapping[str, Mapping[str, int]], words: int | None
) -> Iterator[str]:
    pages, documents = _value(figures, "crawl.pages"), _value(figures, "extract.documents")
    if pages:
        yield f"{pages:,.0f} pages were fetched from the web."
    if documents:
        yield f"{documents:,.0f} documents with a main text were read out of {_pages(pages)}."
    kept, held = _value(figures, "mix.documents"), _value(figures, "mix.heldout")
    if kept:
        told = f" with {words:,} words" if words else ""
        all_of_them = kept / (1 - held) if held else kept
        yield (
            f"After filtering, removing copies and choosing by quality {all_of_them:,.0f} of them"
            f"{told} were kept"
            + (f", {all_of_them - kept:,.0f} of these only to test on." if held else ".")
        )


def _pages(pages: float | None) -> str:
    return "these" if pages else "the pages"


def _model(figures: Figures, counts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    vocabulary = _value(figures, "tokenizer.vocab_size")
    size = counts.get("train.lm", {}).get("parameters")
    tokens = _value(figures, "train.tokens")
    if vocabulary:
        yield f"A tokenizer learned a vocabulary of {vocabulary:,.0f} tokens from them."
    if size:
        read = f" was trained on {_large(tokens)} tokens" if tokens else " was trained"
        yield f"A language model of {_large(size)} parameters{read}."


def _against_counts(figures: Figures) -> Iterator[str]:
    ours, counted = _value(figures, "base.bits_per_byte"), _value(figures, "ngram5.bits_per_byte")
    if ours is None:
        return
    said = f"For documents that it has not seen it needs {ours:.2f} bits per byte (fewer is better)"
    if counted is None:
        yield f"{said}."
        return
    entry = figures.get("base.minus_ngram5", {})
    low, high = entry.get("low"), entry.get("high")
    if high is not None and high < 0:
        verdict = "so the model has learned more than which words follow each other"
    elif low is not None and low > 0:
        verdict = "so it has not yet learned more than which words follow each other"
    else:
        verdict = "and the difference is not beyond doubt"
    yield f"{said}; a 5-gram, which only counts sequences of tokens, {counted:.2f}, {verdict}."


def _assistant(figures: Figures) -> Iterator[str]:
    ends = _value(figures, "sft.stops")
    if ends is not None:
        yield (
            "Fine-tuned on questions and answers (SFT) it became an assistant, whose answers end "
            f"by themselves {100 * ends:.0f}% of the time."
        )
    gains = {
        name.removeprefix("alignment.").removesuffix(".gold_gain"): Figure.from_json(entry)
        for name, entry in figures.items()
        if name.startswith("alignment.") and name.endswith(".gold_gain") and ".sft." not in name
    }
    if not gains:
        return
    best = min(gains, key=lambda name: (-gains[name].value, name))
    gain = gains[best]
    if gain.low is not None and gain.low <= 0:
        yield "No method of alignment measurably improved its answers."
        return
    wins = _value(figures, f"alignment.{best}.win_rate")
    won = f", winning {100 * wins:.0f}% of the questions against it" if wins is not None else ""
    yield (
        f"Of the methods that then learned from preferences, {_method(best)} scored highest: "
        f"{interval_text(gain)} above SFT by the rule that stands in for a reader and that no "
        f"training saw (the gold reward){won}."
    )


def _method(name: str) -> str:
    """`best_of_n.n_16` in words."""
    method, _, strength = name.partition(".")
    if method == "best_of_n" and strength.startswith("n_"):
        return f"choosing the best of {strength[2:]} answers with the reward model"
    return _METHODS.get(method, method) + (f" ({strength.replace('_', ' ')})" if strength else "")


def look_at(figures: Figures, inspected: Figures, sections: Sequence[str]) -> str:
    """A list as HTML of what deserves a look: where a step was wrong, and where the model is.

    inspected: the figures of inspections. sections: the page's headings, to link to.
    """
    lines = [(line, _FIRST) for line in _wrong(inspected)]
    fetched = _value(inspected, "crawl.forbidden_fetched") or 0
    if fetched:
        lines.append((f"{fetched:,.0f} pages were fetched that robots.txt forbids.", _FIRST))
    invented = _value(figures, "sft.invented.unseen")
    if invented:
        lines.append(
            (
                "The assistant invents: of the questions about articles that it never read, "
                f"{100 * invented:.0f}% get a made-up answer.",
                "Alignment",
            )
        )
    if not lines:
        return ""
    items = "".join(f"<li>{text(line)}{_link(where, sections)}</li>" for line, where in lines)
    return f'<div class="look"><b>Worth a look</b><ul>{items}</ul></div>'


_FIRST = "What was kept, and what was right"


def _link(where: str, sections: Sequence[str]) -> str:
    if where not in sections:
        return ""
    return f' <a href="#s{list(sections).index(where)}">{text(where)}</a>'


def _wrong(inspected: Figures) -> Iterator[str]:
    """In words, each step that is right less often than it should be and whose cases are known."""
    for name, entry in inspected.items():
        step, _, measure = name.rpartition(".")
        value, cases = entry["value"], entry.get("n")
        if step not in _STEPS or not cases or value >= _ENOUGH:
            continue
        bad = round(cases * (1 - value))
        if measure == "precision":
            yield (
                f"{_STEPS[step]} threw out too much: of {cases:,} cases that they took and whose "
                f"truth is known, {bad:,} should have stayed."
            )
        elif measure == "recall":
            yield f"{_STEPS[step]} missed {bad:,} of {cases:,} that it should have found."


def _value(figures: Figures, name: str) -> float | None:
    entry = figures.get(name)
    return None if entry is None else float(entry["value"])


def _large(count: float) -> str:
    """1,849,344 as 1.85 million."""
    shown = short_count(count)
    names = {"k": " thousand", "M": " million", "B": " billion", "T": " trillion"}
    return shown[:-1] + names[shown[-1]] if shown[-1:] in names else shown
