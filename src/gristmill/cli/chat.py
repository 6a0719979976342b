"""`chat`: a conversation with a model in the terminal.

An assistant answers and remembers; a base model goes on from what you type.
"""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

from gristmill.cli.flags import Flags, parse_flags
from gristmill.cli.talk import Continuation, Conversation, Speaker, printable
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.settings import check_config
from gristmill.stages.stage import StageConfig
from gristmill.stages.workspace import Workspace, model_nodes

_HELP = """gristmill chat [--workspace DIR [--node NAME] | --model FOLDER] [flags]

Loads a model and talks with you. An assistant answers and remembers the
conversation; when that fills the context, the oldest turns are forgotten. A
base model has learnt to continue text, not to answer: it goes on from each
line that you type. Ctrl-C stops an answer; at the prompt it ends the program,
as Ctrl-D does.

  --workspace DIR     takes its newest model (runs/demo)
  --node NAME         takes that model: train.dpo, or dpo for short
  --model FOLDER      a model artifact, or a Hugging Face folder of that shape
  --system TEXT       the system message, for an assistant
  --raw               an assistant too goes on from text
  --max_tokens N      longest answer (256, for a base model 80; at most half the
                      context)
  --temperature X     0 always takes the most probable token (0.7)
  --top_k N           only among the N most probable, 0 for all (0)
  --top_p X           only among the fewest that reach this probability (0.95)
  --device NAME       auto, cpu, cuda or mps (auto)
  --seed N            of the first answer; each after it takes the next (0)

In a conversation, /reset forgets what was said, /help lists the commands.

example
  gristmill chat --workspace runs/demo
  gristmill chat --workspace runs/demo --node train.dpo --temperature 0
  echo "The cat is" | gristmill chat --raw --temperature 0"""

_COMMANDS = """  /reset   forget the conversation
  /help    this list
  /quit    end, as Ctrl-D does"""

# One word behind a stroke is meant as a command; a path or a sentence is not.
_COMMAND = re.compile(r"/[a-z]+")
_ASSISTANT_TOKENS, _BASE_TOKENS = 256, 80
_OPTIONS = ("workspace", "node", "model", "system", "seed", "device")


class ChatConfig(StageConfig):
    """Settings of `chat`."""

    max_tokens: int | None = None
    """Longest answer; default: 256, of a base model 80, at most half the context."""
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 0.95


def chat(arguments: list[str]) -> int:
    """Reads lines and prints what the model says to them."""
    flags = parse_flags(arguments, options=_OPTIONS, switches=("help", "raw"))
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    config = check_config(ChatConfig, flags.settings, "--", _OPTIONS)
    interactive = sys.stdin.isatty()
    seed = flags.number("seed", 0)
    name, folder = _model_folder(flags)
    talk = _load(folder, flags, config, interactive)
    if interactive:
        _greet(talk, name)
    while True:
        try:
            line = input("> " if interactive else "")
        except (EOFError, KeyboardInterrupt) as end:
            if isinstance(end, KeyboardInterrupt) and not interactive:
                raise
            if interactive:
                print(file=sys.stderr)
            return 0
        line = printable(line)
        if not line.strip():
            if interactive and isinstance(talk, Continuation):
                return 0
        elif isinstance(talk, Conversation) and line.strip() in ("/reset", "/help", "/quit"):
            if line.strip() == "/quit":
                return 0
            if line.strip() == "/reset":
                talk.reset()
            print("forgotten" if line.strip() == "/reset" else _COMMANDS, file=sys.stderr)
        elif isinstance(talk, Conversation) and interactive and _COMMAND.fullmatch(line.strip()):
            print(f"{line.strip()} is no command:\n{_COMMANDS}", file=sys.stderr)
        else:
            try:
                talk.answer(line, seed)
            except GristmillError as error:
                if not interactive:
                    raise
                print(f"gristmill: {error.one_line()}", file=sys.stderr)
            seed += 1


def _greet(talk: Continuation | Conversation, name: str) -> None:
    with contextlib.suppress(ImportError):
        # Importing it is what gives `input` the arrow keys.
        import readline  # noqa: F401
    if isinstance(talk, Conversation):
        print(f"{name}, an assistant. /help lists the commands, Ctrl-D ends it.", file=sys.stderr)
    else:
        print(f"{name} goes on from what you type. An empty line ends it.", file=sys.stderr)


def _model_folder(flags: Flags) -> tuple[str, Path]:
    """What the model is called, and where it is: the newest is not always the one meant."""
    if "model" in flags.options:
        for other in ("workspace", "node"):
            if other in flags.options:
                raise GristmillError("cannot be given beside --model", where=f"--{other}")
        path = Path(flags.text("model", ""))
        if not path.is_dir():
            raise GristmillError("no such folder", where=path)
        return printable(path.resolve().name), path
    path = Path(flags.text("workspace", "runs/demo"))
    workspace = Workspace.at(path, create=False)
    models = model_nodes(workspace.nodes())
    if not models:
        raise GristmillError(
            "no model here yet", where=path, mend="make one with gristmill run demo, or --model"
        )
    given = flags.text("node", next(reversed(models)))
    nodes = {artifact.node: name for name, artifact in models.items()}
    name = given if given in models else nodes.get(given)
    if name is None:
        near = did_you_mean(given, [*nodes, *models])
        raise GristmillError(f"no model of '{given}' in {path}", where="--node", mend=near)
    artifact: Artifact = models[name]
    artifact.verify()
    return printable(name), artifact.path


def _load(
    folder: Path, flags: Flags, config: ChatConfig, interactive: bool
) -> Continuation | Conversation:
    from gristmill.infer.engine import Engine
    from gristmill.infer.generator import Sampling
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.chat_layouts import read_layout
    from gristmill.tokenizer.tokenizer import Tokenizer

    if (folder / "reward.json").is_file():
        raise GristmillError(
            "a reward model scores answers, it does not talk",
            where=folder,
            mend="give the model that it scores",
        )
    tokenizer = Tokenizer.load(folder)
    chat_format = None
    if not flags.on("raw"):
        try:
            layout = read_layout(folder)
            chat_format = None if layout is None else ChatFormat(layout, tokenizer)
        except GristmillError as error:
            raise GristmillError(
                error.what, where=error.where or folder, mend="--raw goes on from text instead"
            ) from None
    if chat_format is None and "system" in flags.options:
        raise GristmillError("only an assistant takes a system message", where="--system")
    model = load_model(folder, device=choose_device(flags.text("device", "auto")))
    engine = Engine(model, max_rows=1)
    longest = config.max_tokens
    if longest is None:
        most = _BASE_TOKENS if chat_format is None else _ASSISTANT_TOKENS
        longest = max(1, min(most, engine.context // 2))
    sampling = Sampling(
        max_tokens=longest,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
    )
    speaker = Speaker(engine, tokenizer, sampling, interruptible=interactive)
    if chat_format is None:
        return Continuation(speaker)
    system = flags.text("system", "") if "system" in flags.options else None
    return Conversation(speaker, chat_format, system)
