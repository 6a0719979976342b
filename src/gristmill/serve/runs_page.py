"""The runs page: the curves of trainings, those that still move among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from gristmill.serve.replies import answers_json

if TYPE_CHECKING:
    from gristmill.serve.app import Context


def routes(context: Context) -> list[Route]:
    """`/api/runs`."""

    async def runs(request: Request) -> dict[str, Any]:
        return {"runs": await run_in_threadpool(context.workspace.runs)}

    return [Route("/api/runs", answers_json(runs))]
