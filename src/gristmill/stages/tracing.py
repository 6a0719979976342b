"""From a text back to the training pages: the index of a workspace, opened once and reused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import read_json
from gristmill.core.errors import GristmillError
from gristmill.stages.workspace import Workspace

if TYPE_CHECKING:
    from gristmill.data.origins import Origins
    from gristmill.data.spans import Places, TextSpan
    from gristmill.data.suffix_index import SuffixIndex
    from gristmill.tokenizer.tokenizer import Tokenizer

LONGEST_TEXT = 200_000
"""Characters of one text."""
TOP = 5
_EXCERPT_TOKENS = 40
_EXCERPT_LETTERS = 110
NOTE = (
    "Matches, not causes: these words stand in these training pages. That the model wrote them "
    "because of these pages is not shown."
)
NO_FINDING = (
    "Only short spans stand in the training pages: nothing longer than what any text shares "
    "with them by chance."
)


@dataclass
class Tracer:
    """The index of one workspace's training tokens, with what it takes to tell of the matches."""

    workspace: Path
    index: SuffixIndex
    tokenizer: Tokenizer
    origins: Origins
    finding_bits: float

    @classmethod
    def open(
        cls, workspace: Workspace, on_build: Callable[[Artifact], None] | None = None
    ) -> Tracer:
        """Opens the index of the newest tokens; makes it first where there is none.

        on_build: told of the tokens before an index is made. Raises GristmillError for a
        workspace without token shards.
        """
        from gristmill.data.origins import Origins
        from gristmill.data.suffix_index import SuffixIndex
        from gristmill.stages.data_index import CHANCE, DataIndexConfig, data_index
        from gristmill.tokenizer.tokenizer import Tokenizer

        tokens = newest_tokens(workspace)
        key, _ = data_index.key(DataIndexConfig(), {"tokens": [tokens]}, 0)
        made = workspace.find(data_index.name, key)
        if made is None:
            if on_build is not None:
                on_build(tokens)
            made = data_index.run(DataIndexConfig(), {"tokens": tokens}, workspace)
        if made.name not in {artifact.name for artifact in workspace.nodes().values()}:
            workspace.name_node(data_index.name, made)
        return cls(
            workspace.path.resolve(),
            SuffixIndex.open(made.path, tokens.path),
            Tokenizer.load(tokens.path),
            Origins.open(tokens),
            float(read_json(made.file(CHANCE))["bits"]),
        )

    def trace(self, text: str, *, min_tokens: int | None = None, top: int = TOP) -> dict[str, Any]:
        """The findings of a text with their sources, as `gristmill trace --json` prints them.

        min_tokens: what counts as a finding, in place of the rule; top: documents for each.
        Raises GristmillError for a text over 200,000 characters.
        """
        from gristmill.data.spans import TracedText, choose, locate, text_spans

        if len(text) > LONGEST_TEXT:
            raise GristmillError(
                f"the text has {len(text):,} characters",
                mend=f"trace at most {LONGEST_TEXT:,} at a time",
            )
        # What the tokenizer makes of it: normalised, and without what no byte stands for.
        text = self.tokenizer.decode(self.tokenizer.encode(text))
        traced = TracedText.of(self.index, self.tokenizer, text)
        spans = text_spans(self.index, self.tokenizer, traced)
        told = []
        for span in choose(spans, traced, self.finding_bits, min_tokens):
            places = locate(self.index, self.tokenizer, traced, span)
            documents = self._documents(places, text[span.start : span.end], top)
            told.append({**_of_span(span, places), "documents": documents})
        self._add_origins(told)
        longest = max(spans, key=lambda span: (span.bits, -span.start), default=None)
        return {
            "text": text,
            "spans": told,
            "note": NOTE if told else NO_FINDING,
            "longest": None
            if longest is None
            else _of_span(longest, locate(self.index, self.tokenizer, traced, longest)),
            "finding_bits": self.finding_bits,
        }

    def _documents(self, places: Places, matched: str, top: int) -> list[dict[str, Any]]:
        """The first `top` documents that hold a span; one that training repeats is one."""
        import numpy as np

        shards = self.index.shards
        starts = shards.document_starts
        documents: dict[str, dict[str, Any]] = {}
        for first, last in places.tokens:
            row = int(np.searchsorted(starts, first, side="right")) - 1
            entry = shards.documents.slice(row, 1).to_pylist()[0]
            if entry["id"] not in documents and len(documents) < top:
                shown = self._excerpt(entry, first, last, matched)
                documents[entry["id"]] = {"id": entry["id"], "url": entry["url"], **shown}
        return list(documents.values())

    def _excerpt(
        self, entry: dict[str, Any], first: int, last: int, matched: str
    ) -> dict[str, Any]:
        """The match with what stands around it in the document, and where it lies in that."""
        shards = self.index.shards
        start = max(entry["start"], first - _EXCERPT_TOKENS)
        end = min(entry["start"] + entry["tokens"] - 1, last + _EXCERPT_TOKENS)
        around = self.tokenizer.decode(shards.tokens(start, end - start))
        before = len(self.tokenizer.decode(shards.tokens(start, first - start)))
        at = around.rfind(matched, 0, before + len(matched) + 1)
        if at < 0:
            at = max(0, around.find(matched))
        low, high = max(0, at - _EXCERPT_LETTERS), at + len(matched) + _EXCERPT_LETTERS
        excerpt = around[low:high]
        return {"excerpt": excerpt, "match": [at - low, min(len(excerpt), at - low + len(matched))]}

    def _add_origins(self, spans: list[dict[str, Any]]) -> None:
        documents = [document for span in spans for document in span["documents"]]
        origins = self.origins.of([document["id"] for document in documents])
        for document in documents:
            origin = origins[document["id"]]
            document["title"] = origin.title
            document["warc"] = None if origin.warc is None else self._shown(origin.warc)
            document["offset"] = origin.offset
            document["record_id"] = origin.record_id

    def _shown(self, path: Path) -> str:
        """A path below the workspace without the way to it."""
        try:
            return path.resolve().relative_to(self.workspace).as_posix()
        except ValueError:
            return path.as_posix()


def newest_tokens(workspace: Workspace) -> Artifact:
    """The newest token shards of a workspace. Raises GristmillError where it has none."""
    tokens = workspace.latest("tokens")
    if tokens is None:
        raise GristmillError(
            "no token shards here to trace into",
            where=workspace.path,
            mend="run tokenizer encode, or give --workspace DIR",
        )
    return tokens


def _of_span(span: TextSpan, places: Places) -> dict[str, Any]:
    return {
        "start": span.start,
        "end": span.end,
        "tokens": span.tokens,
        "bits": round(span.bits, 1),
        "count": places.count,
        "at_least": places.at_least,
    }


_OPEN: dict[tuple[str, str], Tracer] = {}
_LOCK = threading.Lock()


def trace_text(workspace: Path | str, text: str) -> dict[str, Any]:
    """The longest spans of `text` that stand in the workspace's training pages.

    {"text", "spans": [{"start", "end" (characters), "tokens", "bits", "count", "documents":
    [{"id", "url", "title", "warc", "offset", "record_id", "excerpt", "match"}]}], "note",
    "longest", "finding_bits"}; spans do not overlap. The index is opened once for each state of
    the workspace. May be called from several threads. Raises GristmillError.
    """
    opened = Workspace.at(workspace, create=False)
    tokens = newest_tokens(opened)
    with _LOCK:
        place = (str(opened.path.resolve()), tokens.name)
        if place not in _OPEN:
            _OPEN[place] = Tracer.open(opened)
        tracer = _OPEN[place]
    return tracer.trace(text)
