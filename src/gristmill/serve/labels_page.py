"""The labelling page: which of two answers is better, and what to train on it then."""

from __future__ import annotations

import hashlib
import shlex
import threading
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from gristmill.core.errors import GristmillError
from gristmill.serve.chat_page import spec_of
from gristmill.serve.markdown import render
from gristmill.serve.replies import answers_json, body_of, text_of
from gristmill.serve.store import Choice
from gristmill.tokenizer.chat import Message

if TYPE_CHECKING:
    from gristmill.serve.app import Context

_DRAWS = 6
"""Times that a second answer is drawn until it differs from the first."""
_FEW, _PASSES = 100, 8
"""With fewer preferences than that the commands read them so many times."""


def routes(context: Context) -> list[Route]:
    """`/api/labels`, its `/undo` and its `/sample`."""
    table = _Table(context)

    async def state(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(table.state)

    async def label(request: Request) -> dict[str, Any]:
        body = await body_of(request)
        pair, choice = text_of(body, "pair"), cast(Choice, text_of(body, "choice"))
        await run_in_threadpool(table.label, pair, choice)
        return await run_in_threadpool(table.state)

    async def undo(request: Request) -> dict[str, Any]:
        back = await run_in_threadpool(context.store.undo_label)
        return await run_in_threadpool(table.state, back)

    async def sample(request: Request) -> dict[str, Any]:
        body = await body_of(request)
        name, prompt = text_of(body, "model"), text_of(body, "prompt").strip()
        if not prompt:
            raise GristmillError("there is no prompt", mend="ask something first")
        pair = await _sampled(context, name, prompt)
        await run_in_threadpool(context.store.add_pair, pair)
        return await run_in_threadpool(table.state, pair["id"])

    return [
        Route("/api/labels", answers_json(state)),
        Route("/api/labels", answers_json(label), methods=["POST"]),
        Route("/api/labels/undo", answers_json(undo), methods=["POST"]),
        Route("/api/labels/sample", answers_json(sample), methods=["POST"]),
    ]


class _Table:
    """What is to be labelled: the workspace's pairs, read once, and those made on the page."""

    def __init__(self, context: Context):
        self._context = context
        self._lock = threading.Lock()
        self._found: list[dict[str, Any]] | None = None

    def state(self, first: str | None = None) -> dict[str, Any]:
        """How far the labelling is, and the pair that comes next (`first` where it is open)."""
        pairs = self._pairs()
        labelled = self._context.store.labelled()
        open_pairs = [pair for name, pair in pairs.items() if name not in labelled]
        if first in pairs and first not in labelled:
            following: dict[str, Any] | None = pairs[first]
        else:
            following = open_pairs[0] if open_pairs else None
        counts = Counter(labelled.values())
        return {
            "pair": None if following is None else _shown(following),
            "labelled": len(labelled),
            "chosen": counts["first"] + counts["second"],
            "ties": counts["tie"],
            "skipped": counts["skip"],
            "left": len(open_pairs),
            "commands": self._commands(),
        }

    def label(self, name: str, choice: Choice) -> None:
        """Raises GristmillError for a pair that is not here."""
        pair = self._pairs().get(name)
        if pair is None:
            raise GristmillError("no such pair to label", mend="load the page again")
        self._context.store.label(pair, choice)

    def _pairs(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            if self._found is None:
                # An empty workspace is asked again: its first answers may come meanwhile.
                self._found = self._context.workspace.pairs() or None
            found = self._found or []
        return {pair["id"]: pair for pair in [*self._context.store.pairs(), *found]}

    def _commands(self) -> list[dict[str, str]]:
        folder = self._context.workspace.path
        if folder is None:
            return []
        workspace = shlex.quote(str(folder))
        labels = shlex.quote(str(self._context.store.path.resolve()))
        start = shlex.quote(self._context.workspace.start or "MODEL")
        program = self._context.workspace.program
        # With a name of its own each stands beside what the recipe made, to be compared.
        made = f"--workspace {workspace} --as labels"
        tuned = f"{made} --model {start} --preferences align.rank@labels"
        if len(self._context.store.preferences()) < _FEW:
            # One pass over a handful is a single step, of which nothing could be seen.
            tuned += f" --epochs {_PASSES}"
        return [
            {
                "about": "Make preferences of the labels.",
                "command": f"{program} align rank --labels {labels} {made}",
            },
            {
                "about": "Teach a reward model what you prefer …",
                "command": f"{program} train reward {tuned}",
            },
            {
                "about": "… or the assistant itself, served here at once as dpo@labels.",
                "command": f"{program} train dpo {tuned}",
            },
        ]


async def _sampled(context: Context, name: str, prompt: str) -> dict[str, Any]:
    """Two answers of one model that differ. Raises GristmillError where it says only one thing."""
    spec = await spec_of(context.models, name, [Message("user", prompt)], {"temperature": 1.0})
    answers: list[dict[str, Any]] = []
    for _ in range(_DRAWS):
        said, stopped = "", False
        async with aclosing(context.models.complete(name, spec)) as pieces:
            async for piece in pieces:
                said += piece.text
                stopped = piece.finish == "stop"
        answer = {"content": said, "stopped": stopped}
        if answer not in answers:
            answers.append(answer)
        if len(answers) == 2:
            break
    else:
        raise GristmillError(
            "the model gives this prompt one answer only", mend="ask something more open"
        )
    about = hashlib.sha256(f"{prompt}\n{answers}".encode()).hexdigest()[:16]
    return {
        "id": about,
        "group": hashlib.sha256(prompt.encode()).hexdigest()[:16],
        "kind": "",
        "messages": [{"role": "user", "content": prompt}],
        "truth": {},
        "first": answers[0],
        "second": answers[1],
    }


def _shown(pair: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": pair["id"],
        "messages": pair["messages"],
        "first": _answer(pair["first"]),
        "second": _answer(pair["second"]),
    }


def _answer(answer: dict[str, Any]) -> dict[str, Any]:
    return {"html": render(answer["content"]), "stopped": bool(answer.get("stopped", True))}
