"""What the extractor decided, written down as it decides, where somebody asks for it.

The walk and the rules take a `Record` or None. With None nothing is kept and nothing is computed;
with one they say what was not walked and, after each rule, which blocks have a reason now. So what
an explanation shows is what happened, and no second reading of the rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.data.extract.rules import Verdict
    from gristmill.data.extract.tree import Tree


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A node that the walk did not enter: it stands before block `at` (or, `inside`, in it)."""

    at: int
    node: Any
    rule: str
    cue: int
    name: str
    element: int
    inside: bool


@dataclass
class Record:
    """The decisions about one page; see `gristmill.data.extract.explain` for what they mean."""

    left: list[LeftOut] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    """Elements by tag that hold no text to read: scripts, styles, comments."""
    rules: list[str] = field(default_factory=list)
    """Per block the rule that spoke last about it, '' where none did."""
    worth: list[float] = field(default_factory=list)
    bytes: int = 0
    """Of the page, content encodings undone."""
    kind: str = ""
    """Of the page: article, posts, entries, product, recipe."""
    entered: int = 0
    """Nodes that were walked after all, since most of the page's text lies in them."""
    tree: Tree | None = None
    verdict: Verdict | None = None
    pieces: list[tuple[int, int]] = field(default_factory=list)
    """(block, index of the string of the rendered text that it begins)."""
    strings: list[str] = field(default_factory=list)
    """What the rendered text is joined of."""
    _before: list[int] = field(default_factory=list)

    def begin(self, entered: int) -> None:
        """A walk starts; what an earlier one left out counts no more."""
        self.left.clear()
        self.unread.clear()
        self.entered = entered

    def leave(
        self, at: int, node: Any, rule: str, element: int, *, cue: int = 0, name: str = "",
        inside: bool = False,
    ) -> None:  # fmt: skip
        """The walk does not enter `node`."""
        self.left.append(LeftOut(at, node, rule, cue, name, element, inside))

    def judge(self, worth: list[float]) -> None:
        """The rules begin, with what each block is worth."""
        self.worth = worth
        self.rules = [""] * len(worth)
        self._before = [0] * len(worth)

    def note(self, rule: str, reasons: list[int]) -> None:
        """`rule` has spoken: every reason that is not what it was before is its own."""
        before = self._before
        for i, reason in enumerate(reasons):
            if reason != before[i]:
                self.rules[i] = rule
        self._before = list(reasons)


def unnoted(rule: str, reasons: list[int]) -> None:
    """What `Record.note` is where nobody asks."""
