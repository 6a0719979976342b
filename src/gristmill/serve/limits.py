"""How much one client may ask of the server. Every number has a refusal that names it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What is refused beyond these, before anything is computed for it."""

    body_bytes: int = 1_000_000
    body_seconds: float = 30.0
    """A body that is not here by then is not waited for."""
    header_bytes: int = 16_384
    header_seconds: float = 15.0
    """A connection that sends no whole request in this time, or twice it, is closed."""
    write_seconds: float = 30.0
    """A client that takes nothing, or next to nothing, of its answer in this time is cut off."""
    connections: int = 256
    """Beyond these a connection is answered 503."""
    prompts: int = 128
    """Prompts of one request; with `choices`, prompts times n."""
    choices: int = 128
    max_tokens: int = 8_192
    stops: int = 8
    stop_letters: int = 256
    messages: int = 512
    top_logprobs: int = 20
    queue: int = 256
    """Completions that wait; a request that would make it more is told to come back."""
    rows: int = 16
    """Completions of one model that are decoded together."""
    loaded_models: int = 3
    seconds: float = 300.0
    """A request's completions end after this long."""
    retry_after: int = 2
