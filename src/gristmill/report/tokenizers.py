"""Tokenizers beside each other as one HTML file, and a text cut into their tokens.

All text is text here: escaped, its white space shown as signs, each token isolated in its direction
of writing, under a policy that allows no script and nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gristmill.core.figure import Chart, Series, Table
from gristmill.report import elements
from gristmill.tokenizer.judging import Judgement
from gristmill.tokenizer.view import ShownToken

_SIGNS = "·⏎→␍"
_MOST_SPANS = 4_000

View = Sequence[tuple[str, Sequence[ShownToken]]]


def comparison_page(judged: Sequence[Judgement], about: str, price: float, view: View) -> str:
    """The whole file: tables, charts and the coloured view. price: of a million tokens."""
    tables = {table.title: table for table in comparison_tables(judged, price)}
    sections = [
        # The heading says it already.
        ("In short", _draw([replace(tables[OVERVIEW], title="")])),
        ("The same text, cut", _views(view)),
        ("By language", _draw([tables[LANGUAGES], tables[FERTILITY], tables[COST],
                               tables[UNKNOWN]],
                              [_bars(judged, "languages", "Bytes per token by language")])),
        ("By domain", _draw([tables[DOMAINS]],
                            [_bars(judged, "domains", "Bytes per token by domain")])),
        ("The vocabulary", _draw([tables[VOCABULARY], tables[LONGEST], tables[RARE]])),
        ("Merge order and longest match", _draw([tables[MATCHING], tables[EXAMPLES]])),
        ("What it costs a model", _draw([tables[HEAD]])),
    ]  # fmt: skip
    return _document("Tokenizers compared", about, [s for s in sections if s[1]])


def view_page(about: str, view: View) -> str:
    """The whole file with a text cut by each tokenizer, one below the other."""
    return _document("A text in tokens", about, [("Tokens", _views(view))])


OVERVIEW, LANGUAGES, FERTILITY = "In short", "Bytes per token by language", "Tokens per word"
UNKNOWN = "Unknown words"
COST, DOMAINS = "Tokens and cost of 1,000 words", "Bytes per token by domain"
VOCABULARY, LONGEST, RARE = "Tokens of no use", "Longest tokens", "Glitch-prone tokens"
MATCHING, EXAMPLES = "Where longest match differs", "Most frequent differences"
HEAD = "The head's share of a model"


def comparison_tables(judged: Sequence[Judgement], price: float) -> list[Table]:
    """What is said of the tokenizers, a column for each, for a page, a terminal or a report."""
    names = [one.name for one in judged]
    languages = list(dict.fromkeys(name for one in judged for name in one.languages))
    domains = list(dict.fromkeys(name for one in judged for name in one.domains))

    def by(labels: Sequence[str], cell: Any) -> list[list[Any]]:
        return [[label, *(cell(one, label) for one in judged)] for label in labels]

    worded = [name for name in languages if any(one.fertility(name) for one in judged)]
    whole = [name for name in domains if any(one.fertility(name) for one in judged)]
    return [
        Table(OVERVIEW, ["", *names], _overview(judged)),
        Table(
            LANGUAGES,
            ["language", *names],
            by(languages, lambda one, name: _round(one.languages[name].bytes_per_token)),
            note="More is shorter sequences. A character of Greek or Russian is 2 bytes, of Thai, "
            "Hindi or Chinese 3: compare along a row, not down a column.",
        ),
        Table(
            FERTILITY,
            ["language or domain", *names],
            by([*worded, *whole], lambda one, name: _round(one.fertility(name))),
            note="Words are what white space separates; languages without spaces have none.",
        ),
        Table(UNKNOWN, ["language or domain", *names],
              by([*languages, *(name for name in domains if name not in languages)], _unknown)
              if any(one.unknown for one in judged) else [],
              note="Share of the tokens that stand for a word that the vocabulary has not: what "
              "they said is lost, so their bytes per token mean little."),
        Table(COST, ["language", *names],
              by(languages, lambda one, name: _cost(one.tokens_per_thousand_words(name), price)),
              note=_cost_note(judged, price)),
        Table(DOMAINS, ["domain", *names],
              by(domains, lambda one, name: _round(one.domains[name].bytes_per_token))),
        Table(VOCABULARY, ["", *names], _useless(judged), note=_useless_note(judged)),
        Table(LONGEST, ["tokenizer", "longest ordinary tokens"],
              [[one.name, "  ".join(one.longest)] for one in judged]),
        Table(RARE, ["tokenizer", "token", "id", "seen", "goes into"],
              [[one.name, rare.token, rare.token_id, rare.count, rare.part_of]
               for one in judged for rare in one.rare or ()],
              note="In the vocabulary and rarer in the text than a hundredth of the mean token; "
              "'goes into' is the larger token that its first merge makes."),
        Table(MATCHING, ["", *names], _matching(judged),
              note="Inside the pieces of the pre-tokenizer. Models expect merge order; longest "
              "match takes the largest token that fits, from the left."),
        Table(EXAMPLES, ["tokenizer", "times", "merge order", "longest match"],
              [[one.name, *row] for one in judged for row in one.matching_shown[:5]]),
        Table(HEAD, ["rest of the model", *names], _heads(judged),
              note="By layers x width: parameters of one matrix of vocabulary by width, and its "
              "share of the model where embedding and head are one / where they are two."),
    ]  # fmt: skip


def _overview(judged: Sequence[Judgement]) -> list[list[Any]]:
    rows: list[tuple[str, Any]] = [
        ("vocabulary", lambda one: one.vocab_size),
        ("special tokens", lambda one: one.special),
        ("pre-tokenizer", lambda one: one.pattern),
        ("encoded by", lambda one: one.matched),
        ("bytes of text", lambda one: one.total.bytes),
        ("tokens", lambda one: one.total.tokens),
        ("bytes per token", lambda one: _round(one.total.bytes_per_token)),
        ("vocabulary used", lambda one: f"{one.used_share:.1%}"),
        ("unreachable tokens", lambda one: len(one.unreachable.ids)),
        ("longest match differs", _differs),
    ]
    return [[label, *(cell(one) for one in judged)] for label, cell in rows]


def _differs(one: Judgement) -> str | None:
    """Nothing for a tokenizer that does not merge: there is nothing to compare."""
    return f"{one.matching.share:.2%}" if one.matching.pretokens else None


def _unknown(one: Judgement, label: str) -> str | None:
    if not one.unknown:
        return None
    row = one.languages.get(label) or one.domains[label]
    return f"{one.unknown.get(label, 0) / max(1, row.tokens):.1%}"


def _useless(judged: Sequence[Judgement]) -> list[list[Any]]:
    def rare(one: Judgement) -> Any:
        return "too little text" if one.rare is None else one.rare_count

    rows: list[tuple[str, Any]] = [
        ("ordinary tokens", lambda one: one.ordinary),
        ("in the text", lambda one: one.used),
        ("never produced", lambda one: one.dead),
        ("unreachable: cut apart", lambda one: len(one.unreachable.cut)),
        ("unreachable: merged otherwise", lambda one: len(one.unreachable.merged)),
        ("glitch-prone", rare),
        ("such as, unreachable", lambda one: "  ".join(one.unreachable_shown[:4])),
    ]
    if not any(one.unreachable.ids for one in judged):
        rows.pop()
    return [[label, *(cell(one) for one in judged)] for label, cell in rows]


def _useless_note(judged: Sequence[Judgement]) -> str:
    note = (
        "Never produced: reachable, but not in this text. Unreachable: its own bytes do not encode "
        "to it, because the pre-tokenizer or normalizer cuts them apart or the merges make "
        "something else of them."
    )
    short = [one for one in judged if one.rare is None]
    if short:
        most = max(one.enough_bytes for one in short)
        note += f" To tell rare tokens takes about {max(0.1, most / 1e6):.1f} MB of text."
    return note


def _matching(judged: Sequence[Judgement]) -> list[list[Any]]:
    rows: list[tuple[str, Any]] = [
        ("pieces of the text", lambda one: one.matching.pretokens),
        ("of them cut differently", lambda one: one.matching.differing),
        ("share", _differs),
        ("tokens in merge order", lambda one: one.matching.merge_tokens),
        ("tokens by longest match", lambda one: one.matching.longest_tokens),
    ]
    return [[label, *(cell(one) for one in judged)] for label, cell in rows]


def _heads(judged: Sequence[Judgement]) -> list[list[Any]]:
    rows = []
    for place, shape in enumerate(judged[0].heads):
        label = f"{_millions(shape.body)} ({shape.layers} x {shape.width})"
        rows.append([label, *(_head(one.heads[place]) for one in judged)])
    return rows


def _head(head: Any) -> str:
    return f"{_millions(head.head)} {100 * head.share_tied:.1f}/{100 * head.share_untied:.1f}%"


def _millions(count: int) -> str:
    return f"{count / 1e9:.3g}B" if count >= 1e9 else f"{count / 1e6:.3g}M"


def _cost(tokens: float | None, price: float) -> str | None:
    return None if tokens is None else f"{tokens:,.0f} ${tokens * price / 1e6:.4f}"


def _cost_note(judged: Sequence[Judgement], price: float) -> str:
    note = f"Tokens, and their price at ${price:g} a million."
    if any(one.references for one in judged):
        note += (
            " The passage says the same in every language: tokens are for 1,000 words of its "
            "English form, so rows can be compared."
        )
    return note


def _round(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 3)


def _bars(judged: Sequence[Judgement], field: str, title: str) -> Chart:
    labels = list(dict.fromkeys(name for one in judged for name in getattr(one, field)))
    series = []
    for one in judged[:6]:
        rows = getattr(one, field)
        values = [_round(rows[name].bytes_per_token) or 0.0 for name in labels]
        series.append(Series(one.name, list(range(len(labels))), values))
    return Chart(title, "", "bytes per token", series, style="bar", categories=labels)


def _draw(tables: Sequence[Table], charts: Sequence[Chart] = ()) -> str:
    drawn = [elements.chart(asdict(chart)) for chart in charts if chart.categories]
    for table in tables:
        if table.rows:
            inner = elements.table(_plain(table))
            # Below the names of tokenizers stand numbers, also where they are written out.
            drawn.append(
                inner if table.columns[0] == "tokenizer" else f'<div class="nums">{inner}</div>'
            )
    return "".join(drawn)


def _plain(table: Table) -> Mapping[str, Any]:
    return {"title": table.title, "columns": list(table.columns), "rows": table.rows,
            "note": table.note}  # fmt: skip


def _views(view: View) -> str:
    """Each tokenizer's cut of the text, one below the other; ids at the foot on hover and focus."""
    hint = (
        '<p class="soft">A colour is a token; its id and bytes stand at the foot of the window '
        "when it is pointed at or focused. · is a blank, ⏎ a line break, → a tab; \\xNN is a byte "
        "of an unfinished character.</p>"
    )
    return hint + "".join(_view(name, tokens) for name, tokens in view)


def _view(name: str, tokens: Sequence[ShownToken]) -> str:
    shown = "".join(_spans(tokens[:_MOST_SPANS]))
    more = f" The first {_MOST_SPANS:,} are shown." if len(tokens) > _MOST_SPANS else ""
    size = sum(token.bytes for token in tokens)
    return (
        f'<h3 dir="auto">{elements.text(name)}</h3><div class="view">{shown}</div>'
        f'<p class="count">{len(tokens):,} tokens, {size / max(1, len(tokens)):.2f} bytes each.'
        f"{more}</p>"
    )


def _spans(tokens: Sequence[ShownToken]) -> Iterator[str]:
    for token in tokens:
        inner = "".join(
            f"<i>{sign}</i>" if sign in _SIGNS else elements.text(sign) for sign in token.text
        )
        part = "" if token.whole else ' class="part"'
        size = f"{token.bytes} byte{'s' if token.bytes > 1 else ''}"
        said = elements.text(f"id {token.token_id}, {size}: {token.text}")
        yield f'<span tabindex="0"{part} data-id="{said}">{inner}</span>' + "<br>" * token.lines


def _document(title: str, about: str, sections: Sequence[tuple[str, str]]) -> str:
    page = elements.page(title, about, sections)
    css = (Path(__file__).parent / "tokenizers.css").read_text(encoding="utf-8")
    return page.replace("</style>", f"{css}</style>", 1)
