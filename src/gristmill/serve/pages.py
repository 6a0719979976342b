"""The web pages: what they need of a workspace, and their routes.

The server renders a shell; a plain ES module of `static/` fills it from `/api/*`. Nothing comes
from elsewhere and nothing is inline, so that the policy `default-src 'self'` holds. Text of models,
pages and people reaches the browser as JSON and the document as `textContent`; only answers are
markup, made here from Markdown without raw HTML and then sanitised (`serve/markdown.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from gristmill.serve import arena_page, chat_page, documents_page, labels_page, runs_page

if TYPE_CHECKING:
    from gristmill.serve.app import Context


class WorkspaceView(Protocol):
    """What the pages show of a workspace: JSON-able values, read when asked for.

    `gristmill.cli.serve_view.open_view(path)` makes one of a workspace folder; a caller of
    `create_app` may give its own. Each function may take seconds: it is called in a thread. What a
    user can mend is raised as GristmillError.
    """

    @property
    def path(self) -> Path | None:
        """The workspace's folder, for the commands that the pages show, where there is one."""
        ...

    @property
    def program(self) -> str:
        """How gristmill is called in a terminal of this machine, for the same commands."""
        ...

    @property
    def can_trace(self) -> bool:
        """Whether `trace` answers at once: where there is no index yet it may have to make one."""
        ...

    @property
    def start(self) -> str | None:
        """The model of the workspace that a tuning begins from (its SFT), for the same commands."""
        ...

    def documents(self, query: str, page: int) -> dict[str, Any]:
        """Those whose URL, title or text has every word of the query; `is:kept` and `is:dropped`
        choose. {"total", "page", "pages", "counts": {"kept", "dropped"}, "documents": [{"url",
        "title", "kept": bool, "by": the stage that dropped it, "reason", "words", "excerpt"}]};
        pages from 1."""
        ...

    def why(self, url: str) -> dict[str, Any]:
        """{"url", "title", "text", "steps": [{"stage", "said", "numbers"}]}."""
        ...

    def runs(self) -> list[dict[str, Any]]:
        """[{"name", "stage", "moving": bool, "steps", "curves": {name: [[step, value], ...]}}],
        newest first."""
        ...

    def trace(self, text: str) -> dict[str, Any]:
        """{"text", "spans": [{"start", "end", "tokens", "count", "documents": [{"url", "title",
        "id", "warc", "offset", "excerpt", "match"}]}], "note"}. start and end are places in that
        text, `match` (start, end) in the excerpt, in characters."""
        ...

    def pairs(self) -> list[dict[str, Any]]:
        """Pairs to label: {"id", "group", "kind", "messages": [{"role", "content"}], "truth",
        "first": {"content", "stopped"}, "second": {...}}; which is first says nothing."""
        ...


def routes(context: Context) -> list[Route]:
    """The routes of the pages, of what they fetch and of their static files."""
    parts = (chat_page, arena_page, labels_page, documents_page, runs_page)
    fetched = [route for part in parts for route in part.routes(context)]
    shells = [Route(path, _page(path, name)) for path, name in _PAGES.items()]
    return [*shells, Route("/static/{name}", _static), *fetched]


_PAGES = {
    "/": "Start",
    "/chat": "Chat",
    "/arena": "Arena",
    "/labels": "Labels",
    "/documents": "Documents",
    "/runs": "Runs",
}
_CURRENT = ' aria-current="page"'
_STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_UNCHANGED = {"cache-control": "no-cache"}
"""A browser may keep it and asks each time whether it is still the same."""


def _page(path: str, name: str) -> Callable[[Request], Awaitable[Response]]:
    """A shell: the same bytes for everyone, without a word from a model or a page."""
    stem = path.strip("/") or "start"
    html = (_STATIC / "page.html").read_text(encoding="utf-8")
    links = "".join(
        f'<a href="{to}"{_CURRENT if to == path else ""}>{title}</a>'
        for to, title in _PAGES.items()
        if to != "/"
    )
    body = (_STATIC / f"{stem}.html").read_text(encoding="utf-8")
    home = _CURRENT if path == "/" else ""
    filled = {"NAME": name, "HOME": home, "LINKS": links, "STEM": stem, "BODY": body}
    for key, value in filled.items():
        html = html.replace("{{" + key + "}}", value)

    async def show(request: Request) -> Response:
        return HTMLResponse(html, headers=_UNCHANGED)

    return show


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    path = _STATIC / name
    kind = _TYPES.get(path.suffix)
    # The name is one part of a path (no slash), and one of the files that lie there.
    if kind is None or name not in {file.name for file in _STATIC.iterdir()}:
        return Response("no such file", 404, media_type="text/plain")
    return FileResponse(path, media_type=kind, headers=_UNCHANGED)
