"""The chat page: a conversation with one model, its answers streamed, and where they stand in the
training documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gristmill.core.errors import GristmillError
from gristmill.serve.markdown import render
from gristmill.serve.replies import (
    answers_json,
    body_of,
    number_of,
    stream_lines,
    text_of,
    told,
)
from gristmill.serve.service import Models, RequestSpec
from gristmill.tokenizer.chat import Message, Role, latest_turns

if TYPE_CHECKING:
    from gristmill.serve.app import Context

_MOST_TOKENS = 4096
_LONGEST_TRACED = 20_000


def routes(context: Context) -> list[Route]:
    """`/api/models`, `/api/chat`, `/api/markdown` and `/api/trace`."""

    async def models(request: Request) -> dict[str, Any]:
        return {
            "models": await run_in_threadpool(_listed, context.models),
            "damaged": await run_in_threadpool(context.models.damaged),
            "can_trace": context.workspace.can_trace,
        }

    async def chat(request: Request) -> Response:
        body = await body_of(request)
        name, messages = text_of(body, "model"), messages_of(body)
        spec = await spec_of(context.models, name, messages, body)
        return stream_lines(_answer(context.models, name, spec))

    async def markdown(request: Request) -> dict[str, Any]:
        texts = (await body_of(request)).get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise GristmillError("is not a list of texts", where="texts")
        return {"html": await run_in_threadpool(lambda: [render(text) for text in texts])}

    async def trace(request: Request) -> dict[str, Any]:
        text = text_of(await body_of(request), "text")
        if len(text) > _LONGEST_TRACED:
            raise GristmillError(
                f"{len(text):,} characters are too many to look up",
                mend=f"give {_LONGEST_TRACED:,} at most",
            )
        return await run_in_threadpool(context.workspace.trace, text)

    return [
        Route("/api/models", answers_json(models)),
        Route("/api/chat", answers_json(chat), methods=["POST"]),
        Route("/api/markdown", answers_json(markdown), methods=["POST"]),
        Route("/api/trace", answers_json(trace), methods=["POST"]),
    ]


def messages_of(body: dict[str, Any]) -> list[Message]:
    """The conversation of a request. Raises GristmillError for what is none."""
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise GristmillError("there is no message", mend="say something first")
    found = []
    for message in given:
        if not isinstance(message, dict) or message.get("role") not in get_args(Role):
            raise GristmillError("a message without a role", where="messages")
        found.append(Message(cast(Role, message["role"]), text_of(message, "content")))
    return found


async def spec_of(
    models: Models, name: str, messages: Sequence[Message], settings: dict[str, Any]
) -> RequestSpec:
    """What to ask the model `name`: as many of the last turns as fit its context.

    A base model goes on from the last message. Raises GristmillError where that alone is too long.
    """
    temperature = number_of(settings, "temperature", 0.7, 0, 2)
    asked = int(number_of(settings, "max_tokens", 256, 1, _MOST_TOKENS))
    loaded = await models.open(name)
    longest = max(1, min(asked, loaded.context // 2))
    room = loaded.context - longest

    def fit() -> list[int]:
        if loaded.chat_format is None:
            return loaded.text_prompt(messages[-1].content)[-room:]
        kept = latest_turns(messages, lambda some: len(loaded.chat_prompt(some)) <= room)
        if kept is None:
            raise GristmillError(
                f"too long for this model, which reads {room} tokens", mend="say it shorter"
            )
        return loaded.chat_prompt(kept)

    return RequestSpec(
        prompt=await run_in_threadpool(fit), max_tokens=longest, temperature=temperature
    )


async def _answer(
    models: Models, name: str, spec: RequestSpec
) -> AsyncGenerator[dict[str, Any], None]:
    said = ""
    try:
        async with aclosing(models.complete(name, spec)) as pieces:
            async for piece in pieces:
                said += piece.text
                if piece.text:
                    yield {"text": piece.text}
                if piece.finish is not None:
                    html = await run_in_threadpool(render, said)
                    yield {"done": piece.finish, "said": said, "html": html}
    except GristmillError as error:
        yield {"error": told(error)}


def _listed(models: Models) -> list[dict[str, Any]]:
    served = [models.get(name) for name in models.names()]
    return [{"name": one.name, "assistant": one.is_assistant} for one in served]
