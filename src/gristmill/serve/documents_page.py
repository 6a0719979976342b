"""The documents page: what the corpus holds, what was dropped, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from gristmill.core.errors import GristmillError
from gristmill.serve.replies import answers_json

if TYPE_CHECKING:
    from gristmill.serve.app import Context

_LONGEST_QUERY = 2000


def routes(context: Context) -> list[Route]:
    """`/api/documents` and `/api/why`."""

    async def documents(request: Request) -> dict[str, Any]:
        page = request.query_params.get("page", "1")
        if not (page.isascii() and page.isdigit() and len(page) < 9):
            raise GristmillError("is not a number", where="page")
        return await run_in_threadpool(context.workspace.documents, _asked(request, "q"), int(page))

    async def why(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(context.workspace.why, _asked(request, "url"))

    return [
        Route("/api/documents", answers_json(documents)),
        Route("/api/why", answers_json(why)),
    ]


def _asked(request: Request, name: str) -> str:
    asked = request.query_params.get(name, "")
    if len(asked) > _LONGEST_QUERY:
        raise GristmillError(f"is longer than {_LONGEST_QUERY} characters", where=name)
    return asked.strip()
