"""The peer of the filters' benchmark: datatrove's filters as its FineWeb example chains them.

    python filters_peer.py spacy|split|characters DOCUMENTS COUNT OUTPUT

DOCUMENTS: JSON lines, a text each; of them the first COUNT are judged. spacy: words as datatrove
splits them for English; split: a tokenizer of our own, `str.split`, handed over as datatrove's
`language`, with sentences ended by a full stop, question or exclamation mark.
OUTPUT: [filter's number, reason] of each document, null where it is kept. The last line:
{"seconds": CPU seconds, "documents"}; for `characters` the characters that its rules know.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from datatrove.utils.word_tokenizers import WordTokenizer

ENDS, CLOSING = ".?!…。？！", "\"'”’»)]"
# A word that ends a sentence: an end among its last characters, which only closing marks follow.
LAST_WORD = re.compile(
    rf"\S*[{re.escape(ENDS)}][{re.escape(ENDS + CLOSING)}]*(?!\S)",
)
# An end with something other than an end or a closing mark behind it, as in 'e.g.' and '3.14'.
INNER = re.compile(rf"[{re.escape(ENDS)}][{re.escape(CLOSING)}]*[^\s{re.escape(ENDS + CLOSING)}]")


class SplitTokenizer(WordTokenizer):
    """Words between white space; a word that ends in a full stop, question or exclamation mark
    (and closing marks) ends a sentence, unless a mark stands inside it or it has one letter."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [text[start:stop] for start, stop in self.span_tokenize(text)]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        spans = []
        start = 0
        for found in LAST_WORD.finditer(text):
            word = found.group()
            if INNER.search(word) is None and sum(map(str.isalnum, word)) != 1:
                spans.append((start, found.end()))
                start = found.end()
        if text[start:].strip():
            spans.append((start, len(text)))
        return spans


def main() -> None:
    if sys.argv[1] == "characters":
        characters = {"symbols": PUNCTUATION_SET, "ends": TERMINAL_PUNCTUATION}
        print(json.dumps({name: "".join(sorted(found)) for name, found in characters.items()}))
        return
    language: str | WordTokenizer = "en" if sys.argv[1] == "spacy" else SplitTokenizer()
    chain = [
        GopherRepetitionFilter(language=language),
        GopherQualityFilter(language=language),
        C4QualityFilter(filter_no_terminal_punct=False, language=language),
        FineWebQualityFilter(language=language),
    ]
    with open(sys.argv[2], encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines][: int(sys.argv[3])]
    judge(chain, texts[:20])
    start = time.process_time()
    found = judge(chain, texts)
    seconds = time.process_time() - start
    Path(sys.argv[4]).write_text(json.dumps(found), encoding="utf-8")
    print(json.dumps({"seconds": seconds, "documents": len(texts)}))


def judge(
    chain: Sequence[GopherRepetitionFilter], texts: Sequence[str]
) -> list[tuple[int, str] | None]:
    """The first filter that drops each text, and why."""
    found: list[tuple[int, str] | None] = []
    for number, text in enumerate(texts):
        document = Document(text=text, id=str(number))
        verdict = None
        for place, step in enumerate(chain):
            answer = step.filter(document)
            if answer is not True:
                verdict = (place, answer[1])
                break
        found.append(verdict)
    return found


if __name__ == "__main__":
    main()
