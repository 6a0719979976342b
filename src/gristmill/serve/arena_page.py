"""The arena: two models answer one prompt, a person votes, and only then are they named.

Until the vote no reply holds a model's name or anything that was computed from one: the battle's
id is random, both sides share their settings, and an error says nothing of who made it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gristmill.core.errors import GristmillError
from gristmill.serve.chat_page import spec_of
from gristmill.serve.markdown import render
from gristmill.serve.replies import answers_json, body_of, stream_lines, text_of
from gristmill.serve.service import Models, RequestSpec
from gristmill.serve.store import Battle, Unkept, Winner
from gristmill.tokenizer.chat import Message

if TYPE_CHECKING:
    from gristmill.serve.app import Context
    from gristmill.serve.store import Store

_FEW = GristmillError(
    "an arena needs two assistants, and fewer are served here",
    mend="make another, such as gristmill train dpo, or serve more with --model",
)
_FAILED = {
    "what": "one of the two could not answer this",
    "mend": "shorten the prompt, or try again in a moment",
}


def routes(context: Context) -> list[Route]:
    """`/api/arena`, `/api/battles`, `/api/battles/{id}/vote` and `/api/ratings`."""

    async def arena(request: Request) -> dict[str, Any]:
        contenders = await run_in_threadpool(_contenders, context.models)
        votes = await run_in_threadpool(context.store.battles)
        return {"ready": len(contenders) > 1, "votes": len(votes)}

    async def battle(request: Request) -> Response:
        body = await body_of(request)
        prompt = text_of(body, "prompt").strip()
        if not prompt:
            raise GristmillError("there is no prompt", mend="ask something first")
        contenders = await run_in_threadpool(_contenders, context.models)
        if len(contenders) < 2:
            raise _FEW
        drawn = await run_in_threadpool(context.store.begin_battle, contenders, prompt)
        return stream_lines(_fight(context, drawn, prompt, body))

    async def vote(request: Request) -> dict[str, Any]:
        winner = cast(Winner, text_of(await body_of(request), "winner"))
        spent = await run_in_threadpool(context.store.vote, request.path_params["battle"], winner)
        return {"a": spent.model_a, "b": spent.model_b, "winner": winner}

    async def ratings(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(_ratings, context.store)

    return [
        Route("/api/arena", answers_json(arena)),
        Route("/api/battles", answers_json(battle), methods=["POST"]),
        Route("/api/battles/{battle}/vote", answers_json(vote), methods=["POST"]),
        Route("/api/ratings", answers_json(ratings)),
    ]


def _contenders(models: Models) -> dict[str, str]:
    """The assistants, each with its fingerprint: a name may come to mean another training."""
    return {one.name: one.fingerprint for one in models.all() if one.is_assistant}


async def _fight(
    context: Context, battle: Battle, prompt: str, settings: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Both answers as they are made, then that they are whole."""
    sides = {"a": battle.model_a, "b": battle.model_b}
    said = {"a": "", "b": ""}
    lines: asyncio.Queue[_Line] = asyncio.Queue()
    tasks: list[asyncio.Task[None]] = []
    whole = False
    try:
        message = Message("user", prompt)
        # Both are loaded before either speaks, so that who is slow to load does not tell.
        specs = {s: await spec_of(context.models, n, [message], settings) for s, n in sides.items()}
        yield {"battle": battle.id}
        for side, name in sides.items():
            speaking = _speak(context.models, side, name, specs[side], lines)
            tasks.append(asyncio.create_task(speaking))
        ended = 0
        while ended < len(sides):
            line = await lines.get()
            if line.failed:
                raise _Failed
            if line.text is None:
                ended += 1
            else:
                said[line.side] += line.text
                yield {"side": line.side, "text": line.text}
        for side, text in said.items():
            yield {"side": side, "html": await run_in_threadpool(render, text)}
        await run_in_threadpool(context.store.answered, battle.id, said["a"], said["b"])
        whole = True
        yield {"ready": True}
    except (GristmillError, _Failed):
        yield {"error": _FAILED}
    finally:
        for task in tasks:
            task.cancel()
        if not whole:
            # Beside the loop, which another process's lock must not stop, and not waited for: what
            # ends this may be a cancellation, which would end the wait too.
            asyncio.get_running_loop().run_in_executor(None, _forget, context.store, battle.id)


def _forget(store: Store, battle_id: str) -> None:
    # One that is not forgotten now is forgotten with the day.
    with contextlib.suppress(Unkept):
        store.abandon(battle_id)


class _Failed(Exception):
    """One of the two sides has no answer."""


@dataclass(frozen=True)
class _Line:
    """A piece of one side's answer. No text: its end, or that it failed."""

    side: str
    text: str | None
    failed: bool = False


async def _speak(
    models: Models, side: str, name: str, spec: RequestSpec, lines: asyncio.Queue[_Line]
) -> None:
    try:
        async with aclosing(models.complete(name, spec)) as pieces:
            async for piece in pieces:
                if piece.text:
                    lines.put_nowait(_Line(side, piece.text))
    except GristmillError:
        lines.put_nowait(_Line(side, None, failed=True))
        return
    except Exception:
        # A defect: the other side must not wait for it, and the log shall have it.
        lines.put_nowait(_Line(side, None, failed=True))
        raise
    lines.put_nowait(_Line(side, None))


def _ratings(store: Store) -> dict[str, Any]:
    """Bradley-Terry ratings on the scale of Elo, the best first; a bound where it has no end."""
    from gristmill.evaluate.arena import battles_of, tell_apart
    from gristmill.evaluate.ratings import rate
    from gristmill.evaluate.tally import tally

    battles, _ = battles_of(store.battles(), "votes")
    if not battles:
        return {"votes": 0, "ratings": []}
    found = [
        {
            "model": one.model,
            "battles": one.battles,
            "wins": one.wins,
            "bound": one.bound,
            "rating": _finite(one.rating.value),
            "low": _finite(one.rating.low),
            "high": _finite(one.rating.high),
        }
        for one in rate(tally(tell_apart(battles)[0])).ratings
    ]
    return {"votes": len(battles), "ratings": found}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
