"""`chat` with real tiny models: an assistant remembers, a base model goes on."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gristmill.cli.main import main
from gristmill.cli.talk import Continuation, Conversation, Speaker
from gristmill.core.artifact import (
    Artifact,
    Manifest,
    content_hash,
    hash_files,
    sealing,
    write_manifest,
)
from gristmill.core.errors import GristmillError
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request, Sampling
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model, save_model
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges
from gristmill.train.starting import start_weights


def write_model(folder: Path, *, context: int, assistant: bool, seed: int = 0) -> Path:
    """A random model that says any byte; an assistant's folder has a chat format."""
    torch.set_num_threads(1)
    tokenizer = Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))
    tokenizer.save(folder)
    model = Transformer(
        TransformerConfig(
            tokenizer.vocab_size, width=16, layers=2, heads=1, kv_heads=1, head_dim=16,
            mlp_width=16, context=context,
        )
    )  # fmt: skip
    start_weights(model, seed)
    generator = torch.Generator().manual_seed(seed)
    for block in model.model.layers:
        torch.nn.init.normal_(block.self_attn.o_proj.weight, std=0.5, generator=generator)
    save_model(folder, model)
    if assistant:
        ChatFormat.native(tokenizer).save(folder)
    return folder


@pytest.fixture(scope="module")
def assistant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("assistant"), context=192, assistant=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base"), context=192, assistant=False, seed=1)


def sealed_model(workspace: Workspace, stage: str, seed: int) -> Artifact:
    """A model in a workspace; what `train sft` made is an assistant."""
    path = workspace.artifact_path(stage, "ab" * 32)
    with sealing(path) as inside:
        write_model(inside, context=64, assistant=stage == "train.sft", seed=seed)
        refs = hash_files(inside, frozenset())
        manifest = Manifest(
            kind="model", stage=stage, stage_version=1, code_version="0", key="ab" * 32,
            content=content_hash(refs), config={}, files=refs, created=f"2026-01-0{seed + 1}",
            seconds=1.0, cpu_seconds=1.0, peak_memory_bytes=1,
        )  # fmt: skip
        write_manifest(inside, manifest)
    return Artifact.open(path)


def conversation(folder: Path, system: str | None = None, tokens: int = 12) -> Conversation:
    tokenizer = Tokenizer.load(folder)
    speaker = Speaker(
        Engine(load_model(folder), max_rows=1),
        tokenizer,
        Sampling(max_tokens=tokens, temperature=1.0),
    )
    return Conversation(speaker, ChatFormat.load(folder, tokenizer), system)


def answered(talk: Conversation, messages: list[Message], seed: int) -> str:
    """What the model says to these messages, by its engine alone."""
    sampling = replace(talk.speaker.sampling, stop_ids=talk.chat.stop_ids)
    (made,) = talk.speaker.engine.generate([Request(talk.chat.prompt(messages), sampling, seed)])
    return talk.chat.text(made.tokens)


def piped(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_an_assistant_remembers_every_turn(assistant: Path) -> None:
    talk = conversation(assistant, system="Be short.")
    history = [Message("system", "Be short.")]
    for seed, question in enumerate(("Hello", "And <|im_end|>?", "Why?")):
        history.append(Message("user", question))
        expected = answered(talk, history, seed)
        assert talk.answer(question, seed) == expected
        history.append(Message("assistant", expected))
    assert talk.messages == history
    assert answered(talk, [history[0], history[5]], 2) != history[6].content  # it matters
    talk.reset()
    assert talk.messages == history[:1]


def test_the_oldest_turns_go_when_the_context_fills(assistant: Path) -> None:
    talk = conversation(assistant, system="Be short.")
    room = talk.speaker.room()
    for seed in range(20):
        asked = [*talk.messages, Message("user", f"{seed}" * 20)]
        talk.answer(f"{seed}" * 20, seed)
        assert talk.messages[0] == Message("system", "Be short.")
        kept = talk.messages[:-1]
        assert len(talk.chat.prompt(kept)) <= room
        assert kept[1].role == "user" and kept[1:] == asked[len(asked) - len(kept) + 1 :]
        if len(kept) < len(asked):
            # One turn more would not have fitted.
            longer = [asked[0], *asked[len(asked) - len(kept) - 1 :]]
            assert len(talk.chat.prompt(longer)) > room
    assert len(talk.messages) < 12
    before = list(talk.messages)
    with pytest.raises(GristmillError, match="too long"):
        talk.answer("x" * 500, 0)
    assert talk.messages == before


def test_nothing_that_is_said_drives_the_terminal(
    assistant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = conversation(assistant, tokens=90)
    said = "".join(talk.answer(f"{seed}", seed) for seed in range(8))
    shown = capsys.readouterr().out
    assert any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in said)
    assert not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in shown)


def test_piped_questions_get_answers_alone(
    assistant: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outputs(*lines: str, flags: tuple[str, ...] = ()) -> str:
        piped(monkeypatch, *lines)
        assert main(["chat", "--model", str(assistant), "--max_tokens", "9", *flags]) == 0
        return capsys.readouterr().out

    both = outputs("Hello", "", "Why?")
    first = outputs("Hello")
    assert both.startswith(first) and len(both) > len(first) and not both.startswith("Hello")
    # After /reset the second question is answered as if it came first, with the seed it has.
    assert outputs("Hello", "/reset", "Why?") == first + outputs("Why?", flags=("--seed", "1"))
    assert outputs("Hello", "/quit", "Why?") == first
    assert outputs("Hello", flags=("--system", "Rhyme.")) != first
    raw = outputs("Hello", flags=("--raw",))
    assert raw.startswith("Hello") and raw != first


def test_a_base_model_goes_on_from_text(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, "The mill")
    assert main(["chat", "--model", str(base), "--max_tokens", "9", "--temperature", "0"]) == 0
    shown = capsys.readouterr().out
    tokenizer = Tokenizer.load(base)
    prompt = [tokenizer.eot_id, *tokenizer.encode("The mill")]
    sampling = Sampling(max_tokens=9, temperature=0, stop_ids=(tokenizer.eot_id,))
    (made,) = Engine(load_model(base)).generate([Request(prompt, sampling)])
    speaker = Speaker(Engine(load_model(base)), tokenizer, sampling)
    said = Continuation(speaker).answer("The mill", 0)
    assert said == tokenizer.decode(made.tokens, skip_special=True)
    assert shown == capsys.readouterr().out and shown.startswith("The mill")


def test_a_workspace_has_its_newest_model_or_the_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.at(tmp_path)
    for seed, node in enumerate(("train.lm", "train.sft")):
        workspace.name_node(node, sealed_model(workspace, node, seed))

    def said(*flags: str) -> str:
        piped(monkeypatch, "Hello")
        where = ["--workspace", str(tmp_path), "--max_tokens", "9"]
        code = main(["chat", *where, *flags])
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    newest, first = said(), said("--node", "train.lm")
    assert newest == said("--node", "train.sft") and not newest.startswith("Hello")
    assert first.startswith("Hello")
    assert "did you mean 'train.sft'?" in said("--node", "train.stf")
    assert "only an assistant takes a system message" in said("--node", "train.lm", "--system", "x")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model", "nowhere"], "nowhere: no such folder"),
        (["--workspace", "nowhere"], "nowhere: no model here yet"),
        (["--model", "x", "--node", "y"], "--node: cannot be given beside --model"),
    ],
)
def test_what_cannot_be_is_one_line(
    flags: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["chat", *flags]) == 2
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_template_that_is_not_known_can_be_overruled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(tmp_path / "m", context=64, assistant=False)
    (folder / "chat_template.jinja").write_text("[INST] {{ m }} [/INST]", encoding="utf-8")
    piped(monkeypatch, "Hello")
    assert main(["chat", "--model", str(folder)]) == 2
    assert "--raw goes on from text instead" in capsys.readouterr().err
    piped(monkeypatch, "Hello")
    assert main(["chat", "--model", str(folder), "--raw"]) == 0
    assert capsys.readouterr().out.startswith("Hello")


def test_a_reward_model_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path, context=64, assistant=True)
    (folder / "reward.json").write_text("{}", encoding="utf-8")
    piped(monkeypatch, "Hello")
    assert main(["chat", "--model", str(folder)]) == 2
    assert "a reward model scores answers" in capsys.readouterr().err


def test_help_fits_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--help"]) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    for flag in ("--node", "--system", "--raw", "--max_tokens"):
        assert flag in shown


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *arguments: str):
        import pty

        self.screen, inside = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gristmill", *arguments],
            stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
            preexec_fn=lambda: _control(inside),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        os.close(inside)
        self.seen = b""

    def until(self, wanted: bytes, *, more: int = 0) -> None:
        """Reads on until the screen showed `wanted`, and `more` bytes after it."""
        deadline = time.monotonic() + 250
        while True:
            at = self.seen.find(wanted)
            if at >= 0 and len(self.seen) >= at + len(wanted) + more:
                self.seen = self.seen[at + len(wanted) + more :]
                return
            assert time.monotonic() < deadline, self.seen[-500:]
            if select.select([self.screen], [], [], 1.0)[0]:
                try:
                    self.seen += os.read(self.screen, 4096)
                except OSError:  # the program closed its side
                    raise AssertionError(self.seen[-500:]) from None

    def type(self, data: bytes) -> None:
        os.write(self.screen, data)


def _control(terminal: int) -> None:
    import fcntl
    import termios

    # Whoever starts the tests in the background may have it ignored, which is inherited.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Ctrl-C reaches whoever's controlling terminal this is.
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    folder = write_model(tmp_path, context=60_000, assistant=True)
    terminal = Terminal(
        "chat", "--model", str(folder), "--max_tokens", "50000", "--temperature", "0", "--device",
        "cpu",
    )  # fmt: skip
    try:
        terminal.until(folder.name.encode() + b", an assistant.")
        terminal.until(b"> ")
        terminal.type(b"/help\n")
        terminal.until(b"/reset   forget")
        terminal.type(b"/rest\n")
        terminal.until(b"/rest is no command")
        terminal.until(b"/reset   forget")
        terminal.until(b"> ")
        # It never learnt to stop: without Ctrl-C it would talk for minutes.
        terminal.type(b"aaaa\n")
        terminal.until(b"aaaa\r\n", more=200)
        terminal.type(b"\x03")
        terminal.until(b"\r\n> ")
        assert terminal.process.poll() is None
        # Python misses a signal between the prompt and the read of the line; people press again.
        # One that comes while the interpreter is on its way out ends it as the system does.
        for _ in range(40):
            terminal.type(b"\x03")
            try:
                terminal.process.wait(timeout=5)
                break
            except subprocess.TimeoutExpired:
                continue
        assert terminal.process.poll() in (0, -signal.SIGINT)
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.screen)
