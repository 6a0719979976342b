"""`export gguf`: llama.cpp itself loads the file, encodes and writes what we do."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request, Sampling
from gristmill.model.gguf import open_gguf
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model, save_model
from gristmill.stages.export_gguf import ExportGgufConfig, export_gguf
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

pytest.importorskip("gguf")

TEXTS = ["The mill's wheel turns 1,234 times; water, grain and flour: it'll do.\n\n  Über é."] * 3
# What pre-tokenizers differ in, and text that spells special tokens.
HARD = [
    "The mill's wheel turns", "don't I'LL  we've 1234567 +-= \n\n\t x", "  é 日本 🙂 ÜBER",
    "a\r\n b", "<|im_end|><|user|> is text", " ", "wheel1wheel 12 wheels",
]  # fmt: skip


def model_of(
    folder: Path, seal: Callable[[Path, str, str], Artifact], pattern: str = "gpt4"
) -> Artifact:
    """A small assistant whose choices are far apart, so that rounding flips none."""
    tokenizer = train_tokenizer(TEXTS, 320, pattern=pattern)
    tokenizer.save(folder)
    ChatFormat.native(tokenizer).save(folder)
    config = TransformerConfig(
        tokenizer.vocab_size, width=64, layers=2, heads=2, kv_heads=1, head_dim=32, mlp_width=96,
        context=128, tied=False,
    )  # fmt: skip
    model = Transformer(config)
    model.init_weights(3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    save_model(folder, model, folder)
    return seal(folder, "model", "train.sft")


# In a process of its own, which is killed: to stop its server waits for ever at times.
SERVER = """
import sys
import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.n_ctx, parameters.n_parallel, parameters.warmup = 128, 1, False
parameters.verbosity, parameters.use_jinja = -1, True
parameters.cpuparams.n_threads = 1
parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = xllamacpp.Server(parameters)
print("serves at", server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def llama_cpp(file: Path) -> Iterator[Callable[[str, dict[str, Any]], Any]]:
    """llama.cpp's own server with the file, in float32 throughout; gives a function that asks."""
    pytest.importorskip("xllamacpp")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    told = (line.split() for line in process.stdout)
    address = next((words[2] for words in told if words[:2] == ["serves", "at"]), "")
    assert address, "it did not start"

    def ask(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=200) as answer:
            return json.load(answer)

    try:
        yield ask
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("stored", ["f32", "f16", "q8_0"])
def test_llama_cpp_writes_what_we_write(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact], stored: str
) -> None:
    source = model_of(tmp_path / "model", seal)
    workspace = Workspace.at(tmp_path / "w")
    made = export_gguf.run(ExportGgufConfig(stored=stored), {"model": source}, workspace)
    tokenizer = Tokenizer.load(source.path)
    # What llama.cpp computes with are the rounded weights.
    model = load_model(source.path)
    model.load_state_dict(dict(open_gguf(made.path / "model.gguf").tensors()))
    chat = ChatFormat.load(source.path, tokenizer)
    engine = Engine(model)
    with llama_cpp(made.path / "model.gguf") as ask:
        for text in HARD:
            asked = {"content": text, "add_special": False, "parse_special": False}
            assert ask("/tokenize", asked)["tokens"] == tokenizer.encode(text)
        sampling = Sampling(max_tokens=24, temperature=0, stop_ids=chat.stop_ids)
        # q8_0 also rounds what is multiplied with: only the first tokens are sure to agree.
        sure = 24 if stored != "q8_0" else 4
        for text in HARD[:4]:
            prompt = [tokenizer.eot_id, *tokenizer.encode(text)]
            (ours,) = engine.generate([Request(prompt, sampling)])
            asked = {"prompt": text, "n_predict": 24, "temperature": 0, "return_tokens": True}
            theirs = ask("/completion", asked)["tokens"]
            assert theirs[:sure] == ours.tokens[:sure]
        messages = [Message("system", "Be short."), Message("user", "What turns?")]
        asked = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
        rendered = ask("/apply-template", asked)["prompt"]
        ids = ask("/tokenize", {"content": rendered, "add_special": True, "parse_special": True})
        assert ids["tokens"] == chat.prompt(messages)


@pytest.mark.parametrize("pattern", ["gpt2", "qwen"])
def test_other_pretokenizers(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact], pattern: str
) -> None:
    source = model_of(tmp_path / "model", seal, pattern)
    workspace = Workspace.at(tmp_path / "w")
    to = tmp_path / "out" / "mill.gguf"
    made = export_gguf.run(ExportGgufConfig(to=to), {"model": source}, workspace)
    assert to.read_bytes() == (made.path / "model.gguf").read_bytes()
    assert str(to) in json.loads((made.path / "presentation.json").read_text("utf-8"))["notes"][0]
    tokenizer = Tokenizer.load(source.path)
    with llama_cpp(to) as ask:
        for text in HARD:
            asked = {"content": text, "add_special": False, "parse_special": False}
            assert ask("/tokenize", asked)["tokens"] == tokenizer.encode(text)
    with pytest.raises(GristmillError, match="is there already"):
        export_gguf.run(ExportGgufConfig(to=to), {"model": source}, workspace)


def test_a_pretokenizer_that_llama_cpp_lacks_is_refused(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    source = model_of(tmp_path / "model", seal)
    file = tmp_path / "model" / "tokenizer.json"
    characters = train_tokenizer(TEXTS, 320, pattern="characters")
    characters.save(tmp_path / "characters")
    file.write_bytes((tmp_path / "characters" / "tokenizer.json").read_bytes())
    changed = seal(source.path, "model", "train.sft")
    with pytest.raises(GristmillError, match="no pre-tokenizer 'characters'"):
        export_gguf.run(ExportGgufConfig(), {"model": changed}, Workspace.at(tmp_path / "w"))
