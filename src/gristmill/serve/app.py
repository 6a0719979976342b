"""The application: API and pages behind one guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware

from gristmill.serve import openai_api, pages
from gristmill.serve.guard import Guard, login_routes
from gristmill.serve.limits import Limits
from gristmill.serve.service import Models

if TYPE_CHECKING:
    from gristmill.serve.pages import WorkspaceView
    from gristmill.serve.store import Store


@dataclass(frozen=True)
class Settings:
    """Where it listens and who may ask. `gristmill serve` gives any host but loopback a token."""

    host: str = "127.0.0.1"
    token: str | None = None
    names: tuple[str, ...] = ()
    """Further host names that it may be called by."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Context:
    """What the pages work with."""

    models: Models
    workspace: WorkspaceView
    store: Store
    settings: Settings


def create_app(
    models: Models, workspace: WorkspaceView, store: Store, settings: Settings
) -> Starlette:
    """API and pages. The worker behind `models` starts with the application and ends with it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        models.start()
        try:
            yield
        finally:
            models.close()

    guard = Middleware(
        Guard,
        host=settings.host,
        token=settings.token,
        names=settings.names,
        limits=settings.limits,
    )
    return Starlette(
        routes=[
            *openai_api.routes(models, settings.limits),
            *login_routes(settings.token),
            *pages.routes(Context(models, workspace, store, settings)),
        ],
        middleware=[guard],
        exception_handlers=openai_api.exception_handlers(settings.limits),
        lifespan=lifespan,
    )
