"""What the pages' routes share: JSON in, JSON or lines of JSON out, errors with their mend."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from gristmill.core.errors import GristmillError
from gristmill.serve.service import Busy, TooSlow, UnknownModel
from gristmill.serve.store import Spent, Unkept, UnknownBattle

_FRESH = {"cache-control": "no-store"}
_STATUS: dict[type[GristmillError], int] = {
    Busy: 503,
    TooSlow: 504,
    UnknownModel: 404,
    UnknownBattle: 404,
    Spent: 409,
    Unkept: 503,
}
Handler = Callable[[Request], Awaitable[Any]]


def answers_json(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler's value as JSON, a response as it is; a GristmillError as its sentence."""

    async def reply(request: Request) -> Response:
        try:
            found = await handler(request)
        except GristmillError as error:
            return _Json({"error": told(error)}, status_of(error), headers=_FRESH)
        return found if isinstance(found, Response) else _Json(found, headers=_FRESH)

    return reply


class _Json(JSONResponse):
    """Names of files and texts of others may hold what UTF-8 cannot (half a surrogate pair)."""

    def render(self, content: Any) -> bytes:
        """Of starlette."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def stream_lines(lines: AsyncGenerator[dict[str, Any], None]) -> Response:
    """One JSON object a line, each sent as it comes."""

    async def encoded() -> AsyncGenerator[bytes, None]:
        async with aclosing(lines):
            async for line in lines:
                yield json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    return ClosingStream(encoded(), media_type="application/x-ndjson", headers=_FRESH)


class ClosingStream(StreamingResponse):
    """Closes what it streams when the reader goes away, and not some time later."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            assert isinstance(self.body_iterator, AsyncGenerator)
            await self.body_iterator.aclose()


def told(error: GristmillError) -> dict[str, str]:
    """What a page shows of an error."""
    shown = {"what": error.what, "where": error.where, "mend": error.mend}
    return {key: value for key, value in shown.items() if value}


def status_of(error: GristmillError) -> int:
    """The HTTP status of an error; 400 for what the user can mend."""
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises GristmillError for anything else."""
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise GristmillError("the request is not JSON") from None
    if not isinstance(value, dict):
        raise GristmillError("the request is not a JSON object")
    return value


def text_of(body: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A text of a request. Raises GristmillError where it is missing or no text."""
    value = body.get(name, default)
    if not isinstance(value, str):
        raise GristmillError("is not a text", where=name)
    # Half a surrogate pair is valid JSON and cannot be encoded.
    return value.encode("utf-8", "replace").decode("utf-8")


def number_of(body: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """A number of a request, between `low` and `high`. Raises GristmillError."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise GristmillError("is not a number", where=name)
    if not low <= value <= high:
        raise GristmillError(f"must be from {low:g} to {high:g}", where=name)
    return float(value)
