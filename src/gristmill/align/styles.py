"""What a generator is asked to make of a passage: rephrase, questions and answers, textbook, ...

`rephrase` and `questions` follow the idea of Maini et al. 2024 ("Rephrasing the web"), `textbook`
that of Gunasekar et al. 2023 ("Textbooks are all you need"); the words are our own. `continue` is
for a base model, which follows no instruction: it goes on from a passage's opening.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.align.seeds import opening
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed

PLACE = "{text}"
CONTINUE = "continue"


@dataclass(frozen=True)
class Style:
    """A named prompt with one `{text}`, where the passage goes, or its opening alone."""

    name: str
    template: str
    opening: bool = False

    def prompt(self, passage: str) -> str:
        """What is asked about a passage; what the passage says is never read as a template."""
        before, _, after = self.template.partition(PLACE)
        return f"{before}{opening(passage) if self.opening else passage}{after}"

    @property
    def instruction(self) -> str:
        """The prompt without the passage."""
        before, _, after = self.template.partition(PLACE)
        return f"{before}{after}"

    @property
    def digest(self) -> str:
        """The first 16 hexadecimal letters of the SHA-256 of the template."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:16]


_OWN_WORDS = (
    "Use only what the text says, and add no fact. Use your own words and another order; do not "
    "copy whole sentences. Answer with the result alone, without a remark before or after it."
)
STYLES = {
    style.name: style
    for style in (
        Style(
            "rephrase",
            "Write the following text anew, in clear and correct English, as an encyclopaedia "
            f"would. {_OWN_WORDS}\n\nText:\n{PLACE}",
        ),
        Style(
            "questions",
            "Write questions that the following text answers, each with its answer, one after the "
            "other, as 'Question: ...' and 'Answer: ...'. Each must be understood without the "
            f"text. {_OWN_WORDS}\n\nText:\n{PLACE}",
        ),
        Style(
            "textbook",
            "Write a section of a textbook that teaches what the following text is about to "
            "someone who knows nothing of it: explain the terms, give reasons, go from the simple "
            f"to the hard. {_OWN_WORDS}\n\nText:\n{PLACE}",
        ),
        Style(CONTINUE, PLACE, opening=True),
    )
}


def styles_of(names: Sequence[str], files: Sequence[str] = ()) -> list[Style]:
    """Styles by name, and a user's own: a text file with `{text}`, named as the file.

    Raises GristmillError for an unknown name, a file without `{text}`, two of one name, or none.
    """
    found = []
    for name in names:
        if name not in STYLES:
            raise GristmillError(
                f"there is no style '{name}'",
                where="documents.styles",
                mend=f"there are {', '.join(STYLES)}; give your own with documents.prompt_files",
            )
        found.append(STYLES[name])
    for path in files:
        template = Path(path).read_text(encoding="utf-8").strip()
        if template.count(PLACE) != 1:
            raise GristmillError(
                f"a style's prompt holds {PLACE} once, where the passage goes",
                where=path,
                mend=f"it holds it {template.count(PLACE)} times",
            )
        name = Path(path).stem
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise GristmillError(
                "a style is named as its file, of letters, digits, - and _",
                where=path,
                mend="call the file such as simple-words.txt",
            )
        found.append(Style(name, template))
    if not found:
        raise GristmillError("no style", where="documents.styles", mend="name one")
    names = [style.name for style in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise GristmillError(f"two styles are called '{min(twice)}'", where="documents.styles")
    return found


def drawn(styles: Sequence[Style], number: int, seed: int, *passage: str | int) -> list[Style]:
    """`number` different styles for a passage, drawn under the seed; all where there are fewer."""
    if number >= len(styles):
        return list(styles)
    order = sorted(styles, key=lambda style: derive_seed(seed, "style", *passage, style.name))
    return order[:number]
