"""`chat`: a conversation with a model in the terminal. A base model goes on from what you type."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.cli.flags import Flags, parse_flags
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.settings import check_config
from gristmill.stages.stage import StageConfig
from gristmill.stages.workspace import Workspace

if TYPE_CHECKING:
    from gristmill.infer.engine import Engine
    from gristmill.tokenizer.tokenizer import Tokenizer

_HELP = """gristmill chat [--workspace DIR | --model FOLDER] [flags]

Loads a model and goes on from each line that you type: a base model has learnt
to continue text, not to answer. An empty line or Ctrl-D ends it.

  --workspace DIR     takes its newest model (runs/demo)
  --model FOLDER      a model artifact, or a Hugging Face folder of that shape
  --max_tokens N      longest continuation (80)
  --temperature X     0 always takes the most probable token (0.7)
  --top_k N           only among the N most probable, 0 for all (0)
  --top_p X           only among the fewest that reach this probability (0.95)
  --device NAME       auto, cpu, cuda or mps (auto)
  --seed N            of the first answer; each answer after it takes the next (0)

example
  gristmill chat --workspace runs/demo
  echo "The cat is" | gristmill chat --temperature 0"""


class ChatConfig(StageConfig):
    """Settings of `chat`."""

    max_tokens: int = 80
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 0.95


@dataclass
class Talk:
    """A loaded model and how it is sampled."""

    engine: Engine
    tokenizer: Tokenizer
    config: ChatConfig

    def answer(self, text: str, seed: int) -> str:
        """Streams the continuation of `text` to the terminal and returns it."""
        from gristmill.infer.generator import Request, Sampling

        eot = self.tokenizer.eot_id
        prompt = [eot, *self.tokenizer.encode(text)]
        room = self.engine.context - self.config.max_tokens
        if room < 2:
            raise GristmillError(
                f"max_tokens leaves no room in the context of {self.engine.context} tokens",
                where="--max_tokens",
            )
        sampling = Sampling(
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            top_k=self.config.top_k,
            top_p=self.config.top_p,
            stop_ids=(eot,),
        )
        stream = self.tokenizer.stream(skip_special=True)
        said = ""
        for emitted in self.engine.stream([Request(prompt[-room:], sampling, seed)]):
            said += _print_piece(stream.push(emitted.token))
        said += _print_piece(stream.finish())
        print(flush=True)
        return said


def chat(arguments: list[str]) -> int:
    """Reads lines and prints what the model makes of them."""
    flags = parse_flags(
        arguments, options=("workspace", "model", "seed", "device"), switches=("help",)
    )
    if flags.on("help") or "-h" in flags.words:
        print(_HELP)
        return 0
    config = check_config(ChatConfig, flags.settings, "--")
    talk = _load(_model_folder(flags), flags.text("device", "auto"), config)
    seed = flags.number("seed", 0)
    interactive = sys.stdin.isatty()
    if interactive:
        print("The model goes on from what you type. An empty line ends it.", file=sys.stderr)
    while True:
        try:
            line = input("> " if interactive else "")
        except EOFError:
            return 0
        if not line.strip():
            if interactive:
                return 0
            continue
        line = printable(line)
        print(line, end="", flush=True)
        talk.answer(line, seed)
        seed += 1


def printable(text: str) -> str:
    """`text` without control characters, so that no model output can drive the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "�" for c in text)


def _print_piece(piece: str) -> str:
    piece = printable(piece)
    print(piece, end="", flush=True)
    return piece


def _model_folder(flags: Flags) -> Path:
    if "model" in flags.options:
        return Path(flags.text("model", ""))
    path = Path(flags.text("workspace", "runs/demo"))
    artifact: Artifact | None = Workspace.at(path).latest("model") if path.is_dir() else None
    if artifact is None:
        raise GristmillError(
            "no model here yet", where=path, mend="make one with gristmill run demo, or --model"
        )
    artifact.verify()
    return artifact.path


def _load(folder: Path, device: str, config: ChatConfig) -> Talk:
    from gristmill.infer.engine import Engine
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.tokenizer import Tokenizer

    model = load_model(folder, device=choose_device(device))
    model.eval()
    return Talk(Engine(model, max_rows=1), Tokenizer.load(folder), config)
