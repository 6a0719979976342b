"""The models of a server, by name, and completions from them as asynchronous streams.

One thread owns the decoding (`worker.py`), one the loading. Requests reach the worker through a
bounded queue, and its pieces come back to the event loop. A reader that goes away frees its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.infer.generator import Sampling
from gristmill.serve.batching import RowSpec, TokenScore
from gristmill.serve.limits import Limits
from gristmill.serve.pieces import Piece
from gristmill.serve.worker import Busy, Job, TooSlow, Worker

if TYPE_CHECKING:
    from gristmill.model.language_model import LanguageModel
    from gristmill.tokenizer.chat import ChatFormat, Message
    from gristmill.tokenizer.tokenizer import Tokenizer

__all__ = [
    "Busy",
    "LoadedModel",
    "Models",
    "Piece",
    "RequestSpec",
    "ServedModel",
    "TokenScore",
    "TooLong",
    "TooSlow",
    "UnknownModel",
]


class UnknownModel(GristmillError):
    """No model of that name is served."""


class TooLong(GristmillError):
    """The prompt fills the context."""


@dataclass(frozen=True)
class ServedModel:
    """A model that can be asked for; nothing of it is loaded."""

    name: str
    folder: Path
    is_assistant: bool
    created: int = 0
    """Unix time; 0 where it is not known."""
    fingerprint: str = ""
    """Changes with the weights: the content of the artifact."""
    node: str = ""
    """Another name by which it can be asked for, where it has one."""

    @classmethod
    def at(
        cls, name: str, folder: Path, *, created: int = 0, fingerprint: str = "", node: str = ""
    ) -> ServedModel | None:
        """The model in `folder`; None for a reward model, which scores and does not talk.

        An assistant is one whose folder has a chat format that is known.
        """
        from gristmill.tokenizer.chat_layouts import read_layout

        if (folder / "reward.json").is_file():
            return None
        try:
            is_assistant = read_layout(folder) is not None
        except GristmillError:
            # A chat template that is not known: it still goes on from text.
            is_assistant = False
        return cls(name, folder, is_assistant, created, fingerprint, node)


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, with what turns text into its ids."""

    served: ServedModel
    model: LanguageModel
    tokenizer: Tokenizer
    chat_format: ChatFormat | None

    @property
    def context(self) -> int:
        """Tokens that it reads and writes at most, together."""
        context: int = self.model.config.context
        return context

    @property
    def begin_id(self) -> int:
        """What stands before a text: the end of the document before it."""
        bos = self.tokenizer.bos_id
        return self.tokenizer.eot_id if bos is None else bos

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """What ends an answer, or a document."""
        if self.chat_format is not None:
            return self.chat_format.stop_ids
        return (self.tokenizer.eot_id,)

    def chat_prompt(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation up to the answer. Raises GristmillError for a base model."""
        if self.chat_format is None:
            raise GristmillError(
                f"{self.served.name} is a base model: it continues text and takes no messages",
                where="model",
                mend="ask /v1/completions, or an assistant",
            )
        return self.chat_format.prompt(messages)

    def text_prompt(self, text: str) -> list[int]:
        """The ids of a text to go on from, after the id that begins a document."""
        return [self.begin_id, *self.tokenizer.encode(text)]


@dataclass(frozen=True)
class RequestSpec:
    """One completion. `prompt` are ids: `LoadedModel.chat_prompt` or `text_prompt` make them.

    max_tokens: cut to what the context leaves; 0 only reads the prompt. seed: None draws one.
    stop: strings that end the text and do not stand in it. stop_ids: None takes the model's own.
    top_logprobs: None for no log-probabilities, else how many alternatives beside the token's own.
    echo: the prompt's text and tokens come first, scored where log-probabilities are asked for.
    added: tokens at the prompt's beginning that were not in what was sent: echo leaves them out.
    """

    prompt: Sequence[int]
    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] | None = None
    top_logprobs: int | None = None
    echo: bool = False
    added: int = 0


class Models:
    """The models that are served.

    find: lists them, newest first; asked each time, so that a new one is served at once.
    check: called before a model is read (an artifact's `verify`); raises GristmillError.
    damaged: by name, models that are there and cannot be served, and why.
    """

    def __init__(
        self,
        find: Callable[[], Sequence[ServedModel]],
        *,
        limits: Limits | None = None,
        device: str = "auto",
        check: Callable[[ServedModel], None] | None = None,
        damaged: Callable[[], Mapping[str, str]] = dict,
    ):
        self.limits = limits or Limits()
        self._damaged = damaged
        self._find, self._device, self._check = find, device, check
        self._worker = Worker(queue=self.limits.queue, rows=self.limits.rows)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._loaded: OrderedDict[tuple[Path, str], LoadedModel] = OrderedDict()
        self._opening: dict[asyncio.Future[LoadedModel], asyncio.AbstractEventLoop] = {}
        self._closed = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Starts the worker."""
        self._worker.start()

    def close(self) -> None:
        """Ends what runs, and the worker."""
        self._closed = True
        self._loader.shutdown(wait=False, cancel_futures=True)
        # The thread reads its model to the end, but no one waits for it.
        for loading, loop in list(self._opening.items()):
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loading.cancel)
        self._worker.close()

    def all(self) -> list[ServedModel]:
        """Newest first."""
        return list(self._find())

    def names(self) -> list[str]:
        """Newest first."""
        return [served.name for served in self.all()]

    def damaged(self) -> dict[str, str]:
        """Models that are there and cannot be served, by name, and why."""
        self._find()
        return dict(self._damaged())

    def get(self, name: str) -> ServedModel:
        """Raises UnknownModel."""
        found = {served.name: served for served in self.all()}
        nodes = {served.node: served for served in found.values() if served.node}
        if name not in found and name in nodes:
            return nodes[name]
        if name not in found and name in (damaged := self._damaged()):
            raise UnknownModel(
                f"'{name}' is not served", where="model", mend=f"it is damaged: {damaged[name]}"
            )
        if name not in found:
            raise UnknownModel(
                f"no model '{name}' here", where="model", mend=did_you_mean(name, found)
            )
        return found[name]

    def load(self) -> dict[str, int]:
        """How many completions run, how many wait, and the tokens made since the start."""
        worker = self._worker
        return {
            "running": worker.running,
            "waiting": worker.waiting,
            "generated": worker.generated,
        }

    async def open(self, name: str) -> LoadedModel:
        """The model in memory, verified and loaded if need be. Raises GristmillError."""
        served = self.get(name)
        held = self._held(served)
        if held is not None:
            return held
        if self._closed:
            raise _ending()
        loop = asyncio.get_running_loop()
        loading = loop.run_in_executor(self._loader, self._load, served)
        self._opening[loading] = loop
        try:
            return await loading
        except asyncio.CancelledError:
            if self._closed:
                raise _ending() from None
            raise
        finally:
            del self._opening[loading]

    async def complete(self, name: str, spec: RequestSpec) -> AsyncGenerator[Piece, None]:
        """The pieces of a completion as they are made.

        Raises Busy, TooSlow, TooLong, UnknownModel, GristmillError. Ending the iteration early (a
        cancelled task, `aclose`) frees its place in the batch before the next token: iterate with
        `async with contextlib.aclosing(models.complete(...)) as pieces`.
        """
        loaded = await self.open(name)
        job = self._job(loaded, spec)
        self._worker.submit(job)
        try:
            while True:
                piece = await job.next()
                yield piece
                if piece.finish is not None:
                    return
        finally:
            self._worker.cancel(job)

    def _job(self, loaded: LoadedModel, spec: RequestSpec) -> Job:
        count, context = len(spec.prompt), loaded.context
        if count == 0:
            raise GristmillError("an empty prompt", where="prompt", mend="begin with end-of-text")
        if min(spec.prompt) < 0 or max(spec.prompt) >= loaded.model.config.vocab_size:
            raise GristmillError(
                f"a token id outside the vocabulary of {loaded.model.config.vocab_size}",
                where="prompt",
            )
        # What is only chosen after the last token takes no place in the context.
        if count > context or (count == context and spec.max_tokens > 1):
            raise TooLong(
                f"{count} tokens leave no room in a context of {context}",
                where="prompt",
                mend="make it shorter",
            )
        room = min(spec.max_tokens, max(1, context - count))
        stop_ids = loaded.stop_ids if spec.stop_ids is None else spec.stop_ids
        seed = secrets.randbits(63) if spec.seed is None else spec.seed % 2**64
        row = RowSpec(
            prompt=spec.prompt,
            sampling=Sampling(
                max_tokens=max(1, room),
                temperature=spec.temperature,
                # A number that no tensor holds would end the batch, and other people's answers.
                top_k=min(spec.top_k, loaded.model.config.vocab_size),
                top_p=spec.top_p,
                stop_ids=stop_ids,
            ),
            seed=seed,
            room=room,
            top=spec.top_logprobs,
            score_prompt=spec.echo and spec.top_logprobs is not None,
        )
        return Job(
            loaded.model,
            loaded.tokenizer,
            row,
            stops=spec.stop,
            echo=spec.echo,
            added=spec.added,
            seconds=self.limits.seconds,
        )

    def _held(self, served: ServedModel) -> LoadedModel | None:
        with self._lock:
            held = self._loaded.get((served.folder, served.fingerprint))
            if held is not None:
                self._loaded.move_to_end((served.folder, served.fingerprint))
            return held

    def _load(self, served: ServedModel) -> LoadedModel:
        held = self._held(served)
        if held is not None:
            return held
        loaded = load(served, self._device, self._check)
        with self._lock:
            self._loaded[(served.folder, served.fingerprint)] = loaded
            # What still decodes with one that goes keeps it until its end.
            while len(self._loaded) > self.limits.loaded_models:
                self._loaded.popitem(last=False)
        return loaded


def _ending() -> Busy:
    return Busy("the server is ending")


def load(
    served: ServedModel, device: str, check: Callable[[ServedModel], None] | None = None
) -> LoadedModel:
    """Verifies and reads one model. Raises GristmillError."""
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer

    if check is not None:
        check(served)
    tokenizer = Tokenizer.load(served.folder)
    chat_format = ChatFormat.load(served.folder, tokenizer) if served.is_assistant else None
    model = load_model(served.folder, device=choose_device(device))
    return LoadedModel(served, model.requires_grad_(False), tokenizer, chat_format)
