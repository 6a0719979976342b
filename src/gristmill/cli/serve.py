"""`serve`: the models of a workspace behind an OpenAI-compatible API, and its web pages."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.talk import printable
from gristmill.core.artifact import MANIFEST, Artifact
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.stages.workspace import NODES, Workspace, model_nodes, short_name

if TYPE_CHECKING:
    from gristmill.serve.service import Models, ServedModel
    from gristmill.serve.store import Store

_HELP = """gristmill serve [--workspace DIR] [--model FOLDER] [flags]

Serves every model of a workspace, each loaded when it is first asked for: an
OpenAI-compatible API (/v1/models, /v1/completions, /v1/chat/completions) and
web pages for chat, a blind arena, labelling, the documents and the runs. Only
this machine can reach it, unless --host says otherwise; then every request
needs the token. Ctrl-C ends it.

  --workspace DIR   its models, newest first, and its documents (runs/demo):
                    base is train.lm's, sft train.sft's, dpo@mine that of
                    train.dpo --as mine
  --model FOLDER    serve this model too, under the folder's name; repeatable
  --host ADDRESS    where it listens (127.0.0.1)
  --port N          0 takes a free one (8000)
  --token TEXT      every request must bring it; at least 16 letters. Also from
                    the environment, GRISTMILL_TOKEN, where no list of
                    processes shows it
  --name HOST       another name that it is called by, as behind a proxy
  --store FILE      votes and labels (DIR/serve/store.sqlite)
  --device NAME     auto, cpu, cuda or mps (auto)
  --verbose         a line for each request
  --json            one line when it is ready, for programs

example
  gristmill serve --workspace runs/demo
  curl http://127.0.0.1:8000/v1/chat/completions \\
    -H "Content-Type: application/json" -d '{"model": "sft",
    "messages": [{"role": "user", "content": "What is Troy?"}]}'"""

_TOKEN_LETTERS = 16
_DEFAULT = "runs/demo"
_MODELS = ("train.", "import", NODES)
"""How the nodes of models begin."""


def serve(arguments: list[str]) -> int:
    """Serves until Ctrl-C."""
    folders, arguments = _repeated(arguments, "--model")
    flags = parse_flags(
        arguments,
        options=("workspace", "host", "port", "token", "name", "store", "device"),
        switches=("help", "verbose", "json"),
        settings=False,
    )
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    if flags.words:
        raise GristmillError(f"'{flags.words[0]}' is not expected here", mend="see --help")
    host, token = flags.text("host", "127.0.0.1"), _token(flags)
    workspace = _workspace(flags, needed=not folders)
    for folder in folders:
        if not (Path(folder) / "config.json").is_file():
            raise GristmillError("not a folder of a model", where=folder, mend="see --model")
    found = _Found(workspace, [Path(folder) for folder in folders])

    from gristmill.cli.serve_view import open_view
    from gristmill.serve.app import Settings, create_app
    from gristmill.serve.guard import is_loopback
    from gristmill.serve.server import Server, address_of, listen
    from gristmill.serve.service import Models

    if token is None and not is_loopback(host):
        raise GristmillError(
            "whoever reaches this machine could use it without a token",
            where="--host",
            mend="give --token, or GRISTMILL_TOKEN in the environment",
        )
    models = Models(
        found.models, device=flags.text("device", "auto"), check=found.check, damaged=found.damaged
    )
    models.names()
    listening = listen(host, flags.number("port", 8000))
    with listening, contextlib.closing(_open_store(flags, workspace)) as store:
        names = (flags.text("name", ""),) if "name" in flags.options else ()
        view = open_view(None if workspace is None else workspace.path)
        app = create_app(models, view, store, Settings(host=host, token=token, names=names))
        url = address_of(listening, host)
        tell = _ready_json if flags.on("json") else _ready
        server = Server(
            app, models, ready=lambda: tell(url, models, workspace), verbose=flags.on("verbose")
        )
        # It ends in order at Ctrl-C and then raises it again.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    return 0


@dataclass
class _Found:
    """The models of a workspace, looked for anew when its list of nodes changes, and folders."""

    workspace: Workspace | None
    folders: Sequence[Path]
    _seen: tuple[int, int] | None = None
    _models: list[ServedModel] = field(default_factory=list)
    _artifacts: dict[Path, Artifact] = field(default_factory=dict)
    _damaged: dict[str, str] = field(default_factory=dict)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def models(self) -> list[ServedModel]:
        """Newest first; those given by folder before those of the workspace."""
        changed = self._changed()
        if self._seen != changed or not self._models:
            nodes: dict[str, Artifact] = {}
            damaged: dict[str, str] = {}
            if self.workspace is not None:
                nodes, damaged = self.workspace.readable_nodes()
            given = [(path.resolve().name, path, "") for path in self.folders]
            made = [(n, a.path, a.node) for n, a in model_nodes(nodes).items()]
            # Of a node that cannot be read only its name tells whether it is a model.
            damaged = {
                n if n == NODES else short_name(n): why
                for n, why in damaged.items()
                if n.startswith(_MODELS)
            }
            self._models = self._served([*given, *reversed(made)], damaged)
            self._damaged, self._seen = damaged, changed
            for name, why in damaged.items():
                self._tell(name, why)
        return self._models

    def damaged(self) -> dict[str, str]:
        """Models that cannot be served, and the list of nodes where it cannot be read; why."""
        return self._damaged

    def check(self, served: ServedModel) -> None:
        """Hashes the files of an artifact before they are read; one that is damaged is listed no
        more. Raises DamagedArtifact."""
        if served.folder in self._artifacts:
            try:
                self._artifacts[served.folder].verify()
            except DamagedArtifact as error:
                self._models = [one for one in self._models if one.folder != served.folder]
                self._damaged = {**self._damaged, served.name: error.one_line()}
                self._tell(served.name, error.one_line())
                raise

    def _served(
        self, folders: Sequence[tuple[str, Path, str]], damaged: dict[str, str]
    ) -> list[ServedModel]:
        models: dict[str, ServedModel] = {}
        for name, folder, node in folders:
            try:
                served = self._one(name, folder, node)
            except (GristmillError, OSError, ValueError) as error:
                damaged[name] = (
                    error.one_line() if isinstance(error, GristmillError) else str(error)
                )
                continue
            if served is not None:
                models.setdefault(name, served)
        return list(models.values())

    def _one(self, name: str, folder: Path, node: str) -> ServedModel | None:
        from gristmill.serve.service import ServedModel

        if not (folder / "config.json").is_file():
            raise DamagedArtifact("has no config.json", where=folder)
        artifact = Artifact.open(folder) if (folder / MANIFEST).is_file() else None
        if artifact is not None:
            self._artifacts[folder] = artifact
        return ServedModel.at(
            name,
            folder,
            created=_unix(artifact.manifest.created) if artifact else 0,
            fingerprint=artifact.content[:16] if artifact else "",
            node=node,
        )

    def _tell(self, name: str, why: str) -> None:
        if (name, why) not in self._told:
            self._told.add((name, why))
            print(f"gristmill: {printable(name)} is damaged: {printable(why)}", file=sys.stderr)

    def _changed(self) -> tuple[int, int]:
        try:
            assert self.workspace is not None
            nodes = (self.workspace.path / "nodes.json").stat()
            return nodes.st_mtime_ns, nodes.st_size
        except (AssertionError, OSError):
            return (0, 0)


def _repeated(arguments: list[str], flag: str) -> tuple[list[str], list[str]]:
    """The values of a flag that may stand several times, and the other arguments."""
    values, rest = [], []
    waiting = list(arguments)
    while waiting:
        item = waiting.pop(0)
        if item.startswith(f"{flag}="):
            values.append(item.partition("=")[2])
        elif item == flag:
            if not waiting or waiting[0].startswith("--"):
                raise GristmillError("needs a value", where=flag)
            values.append(waiting.pop(0))
        else:
            rest.append(item)
    return values, rest


def _token(flags: Flags) -> str | None:
    token = flags.text("token", os.environ.get("GRISTMILL_TOKEN", ""))
    if not token:
        return None
    if len(token) < _TOKEN_LETTERS or not token.isascii() or not token.isprintable():
        raise GristmillError(
            f"a token has at least {_TOKEN_LETTERS} letters, all of them ASCII",
            where="--token",
            mend='python -c "import secrets; print(secrets.token_urlsafe())" makes one',
        )
    return token


def _workspace(flags: Flags, *, needed: bool) -> Workspace | None:
    path = Path(flags.text("workspace", _DEFAULT))
    if path.is_dir():
        return Workspace.at(path, create=False)
    if needed or "workspace" in flags.options:
        raise GristmillError(
            "no such workspace",
            where=path,
            mend="make one with gristmill run demo, or give --workspace DIR or --model FOLDER",
        )
    return None


def _open_store(flags: Flags, workspace: Workspace | None) -> Store:
    from gristmill.serve.store import Store

    base = workspace.path if workspace is not None else Path(_DEFAULT)
    path = Path(flags.text("store", str(base / "serve" / "store.sqlite")))
    try:
        return Store.open(path)
    except OSError as error:
        raise GristmillError(
            f"votes and labels cannot be kept there: {error.strerror or error}",
            where=path,
            mend="--store FILE keeps them elsewhere",
        ) from None


def _ready(url: str, models: Models, workspace: Workspace | None) -> None:
    served = models.all()
    print(f"gristmill serves {len(served)} model{'' if len(served) == 1 else 's'} at {url}")
    for model in served:
        kind = "assistant" if model.is_assistant else "base model"
        print(f"  {printable(model.name):<28} {kind}")
    if not served:
        print("  no model yet: gristmill run demo makes one, and it is served at once")
    if workspace is not None:
        print(f"  pages of {workspace.path}: chat, arena, labels, documents, runs")
    print(f"  API: {url}/v1    Ctrl-C ends it", flush=True)


def _ready_json(url: str, models: Models, workspace: Workspace | None) -> None:
    print(json.dumps({"url": url, "models": models.names(), "pid": os.getpid()}))
    sys.stdout.flush()


def _unix(created: str) -> int:
    try:
        return int(datetime.fromisoformat(created).timestamp())
    except ValueError:
        return 0
