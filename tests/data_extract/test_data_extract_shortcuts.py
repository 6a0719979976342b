"""Shortcuts of the extraction: each says what the long way says."""

from __future__ import annotations

import random

import pytest

from gristmill.data.extract import cues
from gristmill.data.extract.dom import flatten, flatten_node
from gristmill.data.extract.encoding import page_in_utf8
from gristmill.data.extract.guard import parse
from gristmill.data.extract.kinds import Signs, read_signs
from gristmill.data.extract.rules import Verdict, choose, heaviest, worth
from gristmill.data.extract.tree import Tree

NAMES = ("sidebar", "footer-wrap", "related", "promo", "menu", "popup")
WORDS = "The keeper walked along the wall and counted every lamp that was still burning".split()
DEPTH = 4000


def _page(rng: random.Random) -> str:
    """Boxes with wrong and right names: paragraphs, links, scripts, boxes in boxes."""

    def paragraph() -> str:
        text = " ".join(rng.choice(WORDS) for _ in range(rng.choice((3, 15, 60))))
        return (
            f"<p><a href='/{len(text)}'>{text}</a></p>" if rng.random() < 0.3 else f"<p>{text}.</p>"
        )

    def box(deep: int) -> str:
        name = rng.choice((*NAMES, "x", "y"))
        inner = "".join(
            box(deep + 1) if deep < 3 and rng.random() < 0.4 else paragraph()
            for _ in range(rng.randrange(1, 4))
        )
        script = "<script>var a = 'one of the long scripts';</script>" * rng.randrange(2)
        return f'<div class="{name}">{inner}{script}</div>'

    return "<body>" + "".join(box(0) for _ in range(rng.randrange(1, 6)))


def _heaviest_of_all(tree: Tree, verdict: Verdict) -> int | None:
    """`heaviest` of a page without a long text, every skipped box walked."""

    def inner(node: object, skip: bool) -> float:
        blocks = flatten_node(node, skip=skip, max_depth=DEPTH, titled=tree.titled).blocks
        return sum(max(0.0, worth(block)) for block in blocks)

    values = []
    for node in tree.skipped:
        links = sum(len(a.text(strip=True)) for a in node.css("a"))
        asked = verdict.worth > 200 and cues.asks(node.attributes)
        if asked or len(node.text(strip=True)) - links <= verdict.worth:
            continue
        value = inner(node, True)
        values.append((value if value > 200 else inner(node, False), int(node.mem_id)))
    most, best = max(values, key=lambda one: one[0], default=(0.0, 0))
    others = verdict.worth + sum(value for value, _ in values) - most
    return best if most > max(others, 200 if verdict.worth else 0) else None


def test_the_box_of_a_wrong_name_is_that_which_walking_all_of_them_finds() -> None:
    rng = random.Random(11)
    found = 0
    for _ in range(400):
        parser = parse(_page(rng))
        tree = flatten(parser, skip=True)
        verdict = choose(tree)
        if verdict.worth >= 600:
            continue
        expected = _heaviest_of_all(tree, verdict)
        assert heaviest(tree, verdict, {}, DEPTH) == expected
        found += expected is not None
    assert found > 40


def test_what_is_known_of_boxes_changes_nothing() -> None:
    rng = random.Random(12)
    for _ in range(100):
        parser = parse(_page(rng))
        tree = flatten(parser, skip=True)
        verdict = choose(tree)
        known: dict[int, float] = {}
        first = heaviest(tree, verdict, known, DEPTH)
        assert heaviest(tree, verdict, known, DEPTH) == first


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("article__body", cues.MAIN),
        ("article-body", cues.MAIN),
        ("article__body article-overlay-handle", cues.MAIN),
        ("story--body", cues.MAIN),
        ("post__meta", cues.BYLINE),
        ("most--read", cues.RELATED),
        ("article__lead", cues.NONE),
    ],
)
def test_a_block_and_its_part_are_neighbouring_words(name: str, category: int) -> None:
    assert cues.cue(name) == category


def test_types_are_schema_orgs() -> None:
    named = b'<script>{"kind": "Product"}</script>'
    assert read_signs({}, named, "https://example.org/a", "") == Signs()
    stated = b'<script>{"@context": "https://schema.org", "@type": "Product"}</script>'
    assert read_signs({}, stated, "https://example.org/a", "") == Signs(product=True)
    asked = b'<div itemscope itemtype="https://schema.org/QAPage">'
    assert read_signs({}, asked, "https://example.org/a", "") == Signs(forum=True)


@pytest.mark.parametrize("escape", ["\x1b$B", "\x1b$@"])
def test_japanese_by_escapes_is_told_from_other_escapes(escape: str) -> None:
    assert page_in_utf8(f"<p>{escape}$3$s\x1b(B</p>".encode())[1] == "iso2022_jp"
    assert page_in_utf8(b"<p>\x1b[1mbold\x1b[0m</p>")[1] == "utf-8"
