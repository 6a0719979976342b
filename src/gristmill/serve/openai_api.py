"""The OpenAI-compatible routes, and the tokenizer's own as vLLM and lm-eval name them.

A prompt of token ids is read as it is; a text is read as a document begins, after end-of-text,
which `echo` does not show.
Messages become ids by the model's chat format. No text in any field becomes a special token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gristmill.core.errors import GristmillError
from gristmill.serve.limits import Limits
from gristmill.serve.openai_bodies import (
    BadRequest,
    ChatBody,
    ChatMessage,
    CompletionBody,
    DetokenizeBody,
    TokenizeBody,
    check_limits,
    read_body,
    stop_strings,
)
from gristmill.serve.openai_shapes import Answers, ChatAnswers, CompletionAnswers
from gristmill.serve.replies import ClosingStream
from gristmill.serve.service import (
    Busy,
    LoadedModel,
    Models,
    RequestSpec,
    TooLong,
    TooSlow,
    UnknownModel,
)
from gristmill.tokenizer.chat import Message

T = TypeVar("T")

_AHEAD = 64
"""Pieces of a stream that are made into events before its reader takes them."""
_COMPLETION_TOKENS = 16
"""OpenAI's default for completions; a chat's answer may fill the context."""


def routes(models: Models, limits: Limits) -> list[Route]:
    """The routes of the API."""
    api = _Api(models, limits)
    return [
        Route("/health", api.health, methods=["GET"]),
        Route("/v1/models", api.list_models, methods=["GET"]),
        Route("/v1/models/{name:path}", api.show_model, methods=["GET"]),
        Route("/v1/completions", api.completions, methods=["POST"]),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/tokenizer_info", api.tokenizer_info, methods=["GET"]),
        Route("/tokenize", api.tokenize, methods=["POST"]),
        Route("/detokenize", api.detokenize, methods=["POST"]),
    ]


def exception_handlers(limits: Limits) -> Mapping[Any, Callable[..., Any]]:
    """Errors of every route, the pages' too, in OpenAI's shape."""

    async def handle(request: Request, error: Exception) -> Response:
        return error_response(error, limits)

    return dict.fromkeys((GristmillError, BadRequest, _Left, HTTPException, Exception), handle)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON in ASCII: text from outside may hold what UTF-8 cannot (lone surrogates)."""
    return Response(json.dumps(value), status, headers, media_type="application/json")


def error_response(error: BaseException, limits: Limits) -> Response:
    """An error as OpenAI answers it."""
    status, body = error_body(error)
    headers = {}
    if status == 503:
        headers["Retry-After"] = str(limits.retry_after)
    if isinstance(error, HTTPException) and error.headers:
        headers.update(error.headers)
    return json_response(body, status, headers)


def error_body(error: BaseException) -> tuple[int, dict[str, Any]]:
    """Status and body. What is no one's mistake is told without its insides."""
    param, code, kind = None, None, "invalid_request_error"
    match error:
        case BadRequest():
            status, text, param, code = 400, error.text, error.param, error.code
        case UnknownModel():
            status, text, param, code = 404, error.one_line(), "model", "model_not_found"
        case TooLong():
            status, text, code = 400, error.one_line(), "context_length_exceeded"
        case Busy():
            status, text, kind, code = 503, error.one_line(), "server_error", "queue_full"
        case TooSlow():
            status, text, kind, code = 504, error.one_line(), "server_error", "timeout"
        case GristmillError():
            status, text = 400, error.one_line()
            param = str(error.where) if error.where in ("model", "prompt", "messages") else None
        case HTTPException():
            status, text = error.status_code, error.detail
        case _Left():
            status, text, kind, code = 499, "the client left", "server_error", "client_left"
        case _:
            status, text, kind = 500, "the server met an error; its terminal tells", "server_error"
    return status, {"error": {"message": text, "type": kind, "param": param, "code": code}}


class _Left(Exception):
    """The client is gone: what is answered, no one reads."""


class _Api:
    def __init__(self, models: Models, limits: Limits):
        self.models, self.limits = models, limits

    async def health(self, request: Request) -> Response:
        """What runs and what waits."""
        return json_response({"status": "ok", **self.models.load()})

    async def list_models(self, request: Request) -> Response:
        """Newest first."""
        served = await asyncio.to_thread(self.models.all)
        data = [_model_json(one.name, one.created) for one in served]
        return json_response({"object": "list", "data": data})

    async def show_model(self, request: Request) -> Response:
        served = self.models.get(request.path_params["name"])
        return json_response(_model_json(served.name, served.created))

    async def completions(self, request: Request) -> Response:
        body: CompletionBody = read_body(CompletionBody, await _json(request))
        given: list[str] | list[list[int]]
        if isinstance(body.prompt, str):
            given = [body.prompt]
        elif body.prompt and isinstance(body.prompt[0], int):
            given = [body.prompt]  # type: ignore[list-item]
        else:
            given = body.prompt  # type: ignore[assignment]
        if not given:
            raise BadRequest("an empty list of prompts", "prompt")
        check_limits(body, len(given), self.limits)
        loaded = await self.models.open(body.model)

        def ids() -> list[list[int]]:
            return [loaded.text_prompt(p) if isinstance(p, str) else list(p) for p in given]

        # A long text takes a while to encode: others go on meanwhile.
        prompts = await asyncio.to_thread(ids)
        longest = _COMPLETION_TOKENS if body.max_tokens is None else body.max_tokens
        if longest == 0 and not body.echo:
            raise BadRequest("0 only with echo", "max_tokens")
        # Else the tokens of a text would not be those that a client counts: lm-eval, for one.
        added = int(isinstance(given[0], str))
        specs = _specs(body, prompts, longest, body.logprobs, echo=bool(body.echo), added=added)
        answers = CompletionAnswers(loaded, len(specs), sum(map(len, prompts)), body.logprobs)
        return await self._respond(request, body, specs, answers)

    async def chat(self, request: Request) -> Response:
        body: ChatBody = read_body(ChatBody, await _json(request))
        if len(body.messages) > self.limits.messages:
            raise BadRequest(f"at most {self.limits.messages} messages", "messages")
        check_limits(body, 1, self.limits)
        loaded = await self.models.open(body.model)
        prompt = await asyncio.to_thread(loaded.chat_prompt, _messages(body.messages))
        longest = body.max_completion_tokens or body.max_tokens
        if longest is None:
            longest = min(self.limits.max_tokens, max(1, loaded.context - len(prompt)))
        if longest < 1:
            raise BadRequest("at least 1", "max_tokens")
        top = (body.top_logprobs or 0) if body.logprobs else None
        specs = _specs(body, [prompt], longest, top)
        answers = ChatAnswers(loaded, len(specs), len(prompt), top)
        return await self._respond(request, body, specs, answers)

    async def tokenizer_info(self, request: Request) -> Response:
        """Of `?model=`, else of the newest model."""
        loaded = await self._open(request.query_params.get("model"))
        tokenizer, chat = loaded.tokenizer, loaded.chat_format
        names = {i: name for name, i in tokenizer.special_tokens.items()}
        stop = chat.end_id if chat is not None else tokenizer.eot_id
        return json_response(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model": loaded.served.name,
                "vocab_size": tokenizer.vocab_size,
                "model_max_length": loaded.context,
                "eos_token": names[stop],
                "eos_token_id": stop,
                "bos_token": names[loaded.begin_id],
                "bos_token_id": loaded.begin_id,
                "pad_token": tokenizer.pad_token,
                "pad_token_id": tokenizer.pad_id,
                "chat_template": None if chat is None else chat.layout.template(),
            }
        )

    async def tokenize(self, request: Request) -> Response:
        body: TokenizeBody = read_body(TokenizeBody, await _json(request))
        if (body.prompt is None) == (body.messages is None):
            raise BadRequest("give either prompt or messages", "prompt")
        loaded = await self._open(body.model)

        def ids_of() -> list[int]:
            if body.messages is None:
                text = body.prompt or ""
                encode = loaded.text_prompt if body.add_special_tokens else loaded.tokenizer.encode
                return encode(text)
            messages = _messages(body.messages)
            if body.add_generation_prompt or loaded.chat_format is None:
                return loaded.chat_prompt(messages)
            return loaded.chat_format.render(messages).ids

        ids = await asyncio.to_thread(ids_of)
        strings: list[str] | None = None
        if body.return_token_strs:
            # Of a long text a second or more, in which others go on.
            decode = loaded.tokenizer.decode
            strings = await asyncio.to_thread(lambda: [decode([i]) for i in ids])
        return json_response(
            {
                "count": len(ids),
                "max_model_len": loaded.context,
                "tokens": ids,
                "token_strs": strings,
            }
        )

    async def detokenize(self, request: Request) -> Response:
        body: DetokenizeBody = read_body(DetokenizeBody, await _json(request))
        loaded = await self._open(body.model)
        return json_response({"prompt": loaded.tokenizer.decode(body.tokens)})

    async def _open(self, name: str | None) -> LoadedModel:
        if name is None:
            names = self.models.names()
            if not names:
                raise UnknownModel("no model is served", mend="run a recipe, or give --model")
            name = names[0]
        return await self.models.open(name)

    async def _respond(
        self,
        request: Request,
        body: CompletionBody | ChatBody,
        specs: Sequence[RequestSpec],
        answers: Answers,
    ) -> Response:
        answers.id = f"{answers.prefix}-{secrets.token_hex(12)}"
        answers.created = int(time.time())
        if not body.stream:
            return json_response(
                await _while_connected(request, self._whole(body.model, specs, answers))
            )
        usage = body.stream_options is not None and body.stream_options.include_usage
        events = self._events(body.model, specs, answers, usage)
        # Until the first piece is there an error still has a status of its own.
        first: str = await _while_connected(request, anext(events))
        return ClosingStream(_after(first, events), media_type="text/event-stream")

    async def _whole(
        self, model: str, specs: Sequence[RequestSpec], answers: Answers
    ) -> dict[str, Any]:
        async def one(index: int) -> None:
            async with aclosing(self.models.complete(model, specs[index])) as pieces:
                async for piece in pieces:
                    answers.add(index, piece)

        await _all([one(index) for index in range(len(specs))])
        return answers.whole()

    async def _events(
        self, model: str, specs: Sequence[RequestSpec], answers: Answers, usage: bool
    ) -> AsyncGenerator[str, None]:
        """Server-sent events of all choices as their pieces come."""
        # A slow reader stops the making of events; pieces wait in their jobs, which are bounded.
        made: asyncio.Queue[list[dict[str, Any]] | None] = asyncio.Queue(_AHEAD)

        async def one(index: int) -> None:
            async with aclosing(self.models.complete(model, specs[index])) as pieces:
                async for piece in pieces:
                    answers.add(index, piece)
                    await made.put(answers.chunks(index, piece, usage))

        async def every() -> None:
            try:
                await _all([one(index) for index in range(len(specs))])
            except Exception:
                await made.put(None)
                raise
            await made.put(None)

        begun = False
        running = asyncio.create_task(every())
        try:
            while (chunks := await made.get()) is not None:
                for chunk in chunks:
                    begun = True
                    yield _event(chunk)
            try:
                await running
            except Exception as error:
                if not begun:
                    raise
                # The status is sent: the error comes as an event, and no [DONE] after it.
                yield _event(error_body(error)[1])
                return
            if usage:
                yield _event(answers.usage_chunk())
            yield "data: [DONE]\n\n"
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def _specs(
    body: CompletionBody | ChatBody,
    prompts: Sequence[Sequence[int]],
    longest: int,
    top: int | None,
    *,
    echo: bool = False,
    added: int = 0,
) -> list[RequestSpec]:
    """n completions of each prompt. With a seed the first of a prompt is drawn with that one."""
    return [
        RequestSpec(
            prompt=prompt,
            max_tokens=longest,
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=max(0, body.top_k or 0),
            seed=None if body.seed is None else (body.seed + _NEXT_SEED * choice) % 2**64,
            stop=stop_strings(body.stop),
            top_logprobs=top,
            echo=echo,
            added=added,
        )
        for prompt in prompts
        for choice in range(body.n or 1)
    ]


# Far apart, so that choice 2 of one seed is not choice 1 of the next (2**64 over the golden mean).
_NEXT_SEED = 0x9E3779B97F4A7C15


def _messages(given: Sequence[ChatMessage]) -> list[Message]:
    """Messages of the chat format; a developer speaks as the system."""
    roles = {"developer": "system"}
    return [Message(roles.get(one.role, one.role), one.text()) for one in given]  # type: ignore[arg-type]


def _model_json(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "gristmill"}


async def _json(request: Request) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    try:
        return json.loads(await request.body(), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not JSON") from None


async def _while_connected(request: Request, work: Coroutine[Any, Any, T] | Any) -> T:
    """The result of `work`, which is cancelled when the client leaves. Raises _Left then."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _Left
        result: T = working.result()
        return result
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _all(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Waits for all; where one fails the others are cancelled and its error is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _after(first: str, events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    async with aclosing(events) as rest:
        yield first
        async for event in rest:
            yield event


def _event(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"
