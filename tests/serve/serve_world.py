"""A small world for the server's tests: tiny models in folders, and the real server on a port."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from starlette.types import Message, Receive, Scope, Send

from gristmill.cli.serve_view import open_view
from gristmill.model.language_model import LanguageModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.serve.app import Settings, create_app
from gristmill.serve.limits import Limits
from gristmill.serve.pages import WorkspaceView
from gristmill.serve.server import Server, listen
from gristmill.serve.service import Models, ServedModel
from gristmill.serve.store import Store
from gristmill.tokenizer.chat import ChatFormat
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges

PATIENCE = 120.0


def byte_tokenizer() -> Tokenizer:
    """One token a byte, and the special tokens: no character of two bytes is one token."""
    return Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))


def random_model(context: int, seed: int, layers: int = 2) -> Transformer:
    """Says any byte, and never a special token by choice of the most probable one."""
    torch.set_num_threads(1)
    size = byte_tokenizer().vocab_size
    model = Transformer(
        TransformerConfig(
            size, width=16, layers=layers, heads=2, kv_heads=1, head_dim=16, mlp_width=16,
            context=context, tied=False,
        )
    )  # fmt: skip
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
        # A special token's logit is 0, the best byte's far above it.
        assert model.lm_head is not None
        model.lm_head.weight[list(byte_tokenizer().special_tokens.values())] = 0.0
    return model.eval()


def write_model(
    folder: Path,
    *,
    context: int = 192,
    assistant: bool = False,
    seed: int = 0,
    layers: int = 2,
) -> Path:
    """A folder as `train lm` or `train sft` leaves it."""
    tokenizer = byte_tokenizer()
    tokenizer.save(folder)
    save_model(folder, random_model(context, seed, layers), folder)
    if assistant:
        ChatFormat.native(tokenizer).save(folder)
    return folder


def served(folder: Path) -> ServedModel:
    """The model of a folder, under the folder's name."""
    found = ServedModel.at(folder.name, folder, fingerprint="test")
    assert found is not None
    return found


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def error(self) -> dict[str, Any]:
        """In OpenAI's shape."""
        found: dict[str, Any] = self.json()["error"]
        return found


@dataclass
class Running:
    """A server that answers at `url`. sent: every byte of header and body that left it so far."""

    url: str
    port: int
    models: Models
    sent: bytearray

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; headers stand for those usually sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            own = {"Host": f"127.0.0.1:{self.port}", "Content-Length": str(len(body))}
            for name, value in {**own, **(headers or {})}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            found = connection.getresponse()
            text = found.read().decode()
        return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, text)

    def get(self, path: str, **headers: str) -> Answer:
        """A header's name with _ for -."""
        return self.send("GET", path, headers=_named(headers))

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """JSON to a route."""
        return self.send(
            "POST",
            path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **_named(headers)},
        )

    def load(self) -> dict[str, Any]:
        """What runs and waits."""
        found: dict[str, Any] = self.models.load()
        return found


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextlib.contextmanager
def running(
    folders: Sequence[Path | ServedModel],
    store: Path,
    *,
    limits: Limits | None = None,
    view: WorkspaceView | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """The real application behind uvicorn, in a thread. view: of an empty workspace by default."""
    limits = limits or Limits()
    found = [one if isinstance(one, ServedModel) else served(one) for one in folders]
    models = Models(lambda: found, limits=limits, device="cpu")
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with contextlib.closing(Store.open(store)) as votes:
        looked_at = open_view(None) if view is None else view
        app = create_app(models, looked_at, votes, Settings(limits=limits, **settings))
        sent = bytearray()

        async def recorded(scope: Scope, receive: Receive, send: Send) -> None:
            async def keep(message: Message) -> None:
                for name, value in message.get("headers", ()):
                    sent.extend(name + b": " + value + b"\n")
                sent.extend(message.get("body", b""))
                await send(message)

            await app(scope, receive, keep)

        server = Server(recorded, models)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            yield Running(f"http://127.0.0.1:{port}", port, models, sent)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            listening.close()


def until(true: Callable[[], bool]) -> None:
    """Waits until it holds; fails after a long time."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def distribution(model: LanguageModel, tokens: Sequence[int]) -> torch.Tensor:
    """Log-probabilities after the last of `tokens`, without a cache."""
    with torch.no_grad():
        logits = model.head(model(torch.tensor([list(tokens)])))[0, -1]
    return torch.log_softmax(logits, -1)
