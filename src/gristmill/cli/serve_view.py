"""What `gristmill serve` shows of a workspace: its documents, runs, pairs to label and sources."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.workspace import Workspace

_PER_PAGE = 20
_EXCERPT = 240
_POINTS = 400
"""Points of a drawn curve; a longer one is thinned."""
_LARGEST = 1e100
"""Of a number in a curve."""
_MOST_TEXT = 200_000
_MOST_DOCUMENTS = 100_000
"""Documents that the page searches: they are held in memory."""
_CURVES = (
    "loss", "cross_entropy", "bits_per_byte", "heldout.loss", "preference_loss", "margin",
    "accuracy", "reward", "kl", "score", "lr", "grad_norm", "tokens_per_second",
)  # fmt: skip
_NO_DOCUMENTS = GristmillError(
    "this workspace has no documents",
    mend="make some with gristmill run demo, or give --workspace DIR",
)


def open_view(path: Path | None) -> FolderView:
    """The view of the workspace in `path`; an empty one where there is none.

    It fulfils `gristmill.serve.pages.WorkspaceView` and looks anew each time it is asked, so that
    what a running recipe makes appears.
    """
    return FolderView(None if path is None else path.resolve())


@dataclass
class FolderView:
    """A workspace folder, looked at. Nothing is written."""

    path: Path | None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._corpus: tuple[str, list[_Document]] | None = None

    @property
    def program(self) -> str:
        """`gristmill` where the shell finds it, else the whole path of this one."""
        from gristmill.cli.run import program

        return program(whole=True)

    @property
    def can_trace(self) -> bool:
        """Whether an index over the training documents was made."""
        return self._latest("index") is not None

    @property
    def start(self) -> str | None:
        """The node of the newest SFT; else of the newest model that chats."""
        nodes = self._nodes()
        chatting = [n for n, a in nodes.items() if a.kind == "model" and _chats(a)]
        tuned = [n for n in chatting if nodes[n].stage == "train.sft"]
        return next(reversed(tuned or chatting), None)

    def documents(self, query: str, page: int) -> dict[str, Any]:
        """See `WorkspaceView.documents`."""
        corpus = self._read_corpus()
        words = query.lower().split()
        wanted = {word for word in words if word in ("is:kept", "is:dropped")}
        words = [word for word in words if word not in wanted]
        found = [
            one
            for one in corpus
            if ("is:kept" not in wanted or one.kept)
            and ("is:dropped" not in wanted or not one.kept)
            and all(word in one.searched for word in words)
        ]
        pages = max(1, -(-len(found) // _PER_PAGE))
        page = min(max(1, page), pages)
        shown = found[(page - 1) * _PER_PAGE : page * _PER_PAGE]
        kept = sum(one.kept for one in corpus)
        return {
            "total": len(found),
            "page": page,
            "pages": pages,
            "counts": {"kept": kept, "dropped": len(corpus) - kept},
            "documents": [one.shown(words) for one in shown],
        }

    def why(self, url: str) -> dict[str, Any]:
        """See `WorkspaceView.why`. Raises GristmillError for a page that no step has seen."""
        from gristmill.data.why import explain_page

        nodes = list(self._nodes().values())
        if not any(artifact.kind in ("documents", "layer", "pages") for artifact in nodes):
            raise _NO_DOCUMENTS
        steps = explain_page(url, nodes)
        text, title = "", ""
        for step in steps:
            numbers = step["numbers"]
            text = str(numbers.pop("text", text))
            title = str(numbers.pop("title", title))
        shown = [
            {**step, "numbers": {name: _plain(value) for name, value in step["numbers"].items()}}
            for step in steps
        ]
        return {"url": url, "title": title, "text": text[:_MOST_TEXT], "steps": shown}

    def runs(self) -> list[dict[str, Any]]:
        """See `WorkspaceView.runs`."""
        if self.path is None:
            return []
        nodes = {artifact.name: node for node, artifact in self._nodes().items()}
        found = []
        for metrics in self.path.glob("*/*/metrics.jsonl"):
            folder = metrics.parent
            moving = folder.parent.name == "unfinished"
            if moving or folder.parent.name == "artifacts":
                found.append((metrics.stat().st_mtime, folder, moving))
        # Those that move, then those that are a node's own, then what was made for studies.
        found.sort(
            key=lambda one: (one[2], one[1].name in nodes, one[0], one[1].name), reverse=True
        )
        return [
            {
                "name": nodes.get(folder.name, folder.name),
                "artifact": folder.name,
                "stage": folder.name.rpartition("-")[0],
                "moving": moving,
                **_curves(folder / "metrics.jsonl"),
            }
            for _, folder, moving in found
        ]

    def trace(self, text: str) -> dict[str, Any]:
        """See `WorkspaceView.trace`; the index is made where there is none yet. Raises
        GristmillError where no training tokens are."""
        if self.path is None:
            raise GristmillError(
                "there is no workspace whose training documents could be looked through",
                mend="serve one: gristmill serve --workspace DIR",
            )
        from gristmill.stages.tracing import trace_text

        return trace_text(self.path, text)

    def pairs(self) -> list[dict[str, Any]]:
        """See `WorkspaceView.pairs`: of the newest sampled answers, else of the newest preferences
        that were not made by hand."""
        answers = self._latest("answers")
        if answers is not None:
            return list(_pairs_of_answers(answers))
        preferences = self._latest("preferences")
        return [] if preferences is None else list(_pairs_of_preferences(preferences))

    def _nodes(self) -> dict[str, Artifact]:
        # One that is damaged shall not take the pages of the others away.
        return {} if self.path is None else Workspace(self.path).readable_nodes()[0]

    def _latest(self, kind: str) -> Artifact | None:
        fitting = [artifact for artifact in self._nodes().values() if artifact.kind == kind]
        return fitting[-1] if fitting else None

    def _read_corpus(self) -> list[_Document]:
        """All documents of the topmost layer; read once, until a newer layer is there."""
        top = self._latest("layer") or self._latest("documents")
        if top is None:
            raise _NO_DOCUMENTS
        with self._lock:
            if self._corpus is None or self._corpus[0] != top.name:
                self._corpus = (top.name, list(islice(_documents_of(top), _MOST_DOCUMENTS)))
            return self._corpus[1]


@dataclass(frozen=True)
class _Document:
    url: str
    title: str
    text: str
    searched: str
    """What a query is looked up in, in small letters."""
    by: str
    """The step that dropped it; empty for one that was kept."""
    reason: str

    @property
    def kept(self) -> bool:
        return not self.by

    def shown(self, words: list[str]) -> dict[str, Any]:
        """A line of the list, with the place where the first word stands."""
        at = self.text.lower().find(words[0]) if words else 0
        start = max(0, at - 60)
        excerpt = self.text[start : start + _EXCERPT]
        return {
            "url": self.url,
            "title": self.title,
            "kept": self.kept,
            "by": self.by,
            "reason": self.reason,
            "words": len(self.text.split()),
            "excerpt": ("… " if start else "") + excerpt,
        }


def _documents_of(top: Artifact) -> Iterator[_Document]:
    import pyarrow.parquet as pq

    from gristmill.data.documents import DocumentSet

    documents = DocumentSet.open(top)
    for part in documents.parts:
        rows = documents.read_all(part, ["url", "title", "text"]).to_pylist()
        verdicts = [("", "")] * len(rows)
        for layer in documents.layers:
            read = pq.read_table(
                layer.path / "layer" / f"{part}.parquet", columns=["keep", "reason"]
            ).to_pylist()
            for place, said in enumerate(read):
                if not said["keep"] and not verdicts[place][0]:
                    verdicts[place] = (layer.stage, said["reason"] or "")
        for row, (by, reason) in zip(rows, verdicts, strict=True):
            title, text = row["title"] or "", row["text"] or ""
            searched = "\n".join([row["url"], title, reason, text]).lower()
            yield _Document(row["url"], title, text, searched, by, reason)


def _curves(path: Path) -> dict[str, Any]:
    from gristmill.train.metrics import read_metrics

    try:
        records = read_metrics(path)
    except (OSError, ValueError, KeyError, TypeError):
        # It is being written, or sealed, this very moment: the next look has it. Or it is none.
        records = []
    records = [record for record in records if _is_number(record["step"])]
    curves: dict[str, list[list[float]]] = {}
    for name in _CURVES:
        points = [
            [record["step"], record[name]] for record in records if _is_number(record.get(name))
        ]
        if points:
            every = -(-len(points) // _POINTS)
            curves[name] = points[::-1][::every][::-1]
    return {"steps": records[-1]["step"] if records else 0, "curves": curves}


def _is_number(value: Any) -> bool:
    """Whether a browser can draw it: no NaN, nothing that it takes for infinite."""
    return type(value) in (int, float) and abs(value) < _LARGEST


def _pairs_of_answers(artifact: Artifact) -> Iterator[dict[str, Any]]:
    from gristmill.align.chats import read_answers

    found, _ = read_answers(artifact.path / "train.jsonl")
    for one in found:
        drawn = {(answer.content, answer.stopped) for answer in one.answers[1:]}
        if len(drawn) > 1:
            yield _pair(one, *sorted(drawn, key=lambda answer: _mix(one.id, *answer))[:2])


def _pairs_of_preferences(artifact: Artifact) -> Iterator[dict[str, Any]]:
    from gristmill.align.chats import read_preferences

    found, _ = read_preferences(artifact.path / "train.jsonl")
    for one in found:
        sides = [(one.chosen.content, one.chosen.stopped),
                 (one.rejected.content, one.rejected.stopped)]  # fmt: skip
        yield _pair(one, *sorted(sides, key=lambda answer: _mix(one.id, *answer)))


def _pair(about: Any, first: tuple[str, bool], second: tuple[str, bool]) -> dict[str, Any]:
    return {
        "id": _mix(about.id, *first, *second)[:16],
        "group": about.group,
        "kind": about.kind,
        "messages": [{"role": m.role, "content": m.content} for m in about.messages],
        "truth": dict(about.truth),
        "first": {"content": first[0], "stopped": first[1]},
        "second": {"content": second[0], "stopped": second[1]},
    }


def _mix(*parts: Any) -> str:
    """An order that says nothing of which answer came first or was chosen."""
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()


def _chats(artifact: Artifact) -> bool:
    return (artifact.path / "chat.json").is_file()


def _plain(value: Any) -> Any:
    """What JSON holds; the rest as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return round(value, 6) if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)
