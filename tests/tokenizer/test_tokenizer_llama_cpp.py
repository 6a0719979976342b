"""llama.cpp itself, with every pre-tokenizer that goes into a GGUF file: our ids."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gristmill.tokenizer.foreign import _GGUF_PATTERNS, gguf_vocabulary
from gristmill.tokenizer.gguf import PRETOKENIZERS, gguf_metadata, gguf_note
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

_POOL = [
    *"'sStlLrReEvVmMdD \n\r\t\u00a0\x85\u3000aAé中🙂Éßªกัาไひカー々/_\u0301Zz.,()=!0123456789½٣Ⅷ<|>",
    "    ", "123", "4567", "'ll", "'S", "\r\n", "mill", "Grist", " grain", "ພາສາ", "ភាសា",
    "<|endoftext|>", "\n\n  x", "12345678", "WE'VE",
]  # fmt: skip


def _write(file: Path, tokenizer: Tokenizer, pre: str | None = None) -> None:
    """A model of one narrow layer, so that llama.cpp takes the file. pre: names the pre-tokenizer
    in place of ours."""
    gguf = pytest.importorskip("gguf")
    width, metadata = 32, gguf_metadata(tokenizer.vocabulary)
    metadata["pre"] = pre or metadata["pre"]
    writer = gguf.GGUFWriter(file, "llama")
    for name, value in (("context_length", 64), ("embedding_length", width), ("block_count", 1),
                        ("feed_forward_length", width), ("head_count", 1)):  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model(metadata["model"])
    writer.add_tokenizer_pre(metadata["pre"])
    writer.add_token_list(metadata["tokens"])
    writer.add_token_types(metadata["types"])
    writer.add_token_merges(metadata["merges"])
    writer.add_eos_token_id(tokenizer.eot_id)
    square = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (tokenizer.vocab_size, width), "output_norm": (width,),
        "blk.0.attn_norm": (width,), "blk.0.ffn_norm": (width,),
        **{f"blk.0.{name}": (width, width) for name in square},
    }  # fmt: skip
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# In a process of its own, which ends without stopping its servers: at times that waits for ever.
_CHILD = """
import json, os, sys, urllib.request
import xllamacpp

found, servers = [], []
for file, content in json.load(sys.stdin):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 64, 1, False
    parameters.verbosity, parameters.cpuparams.n_threads = -1, 1
    servers.append(xllamacpp.Server(parameters))
    asked = {"content": content, "add_special": False, "parse_special": False}
    request = urllib.request.Request(
        servers[-1].listening_address + "/tokenize",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=200) as answer:
        found.append(json.load(answer)["tokens"])
print(json.dumps(found), flush=True)
os._exit(0)
"""


def _llama_cpp(asked: list[tuple[Path, list[str], int]]) -> list[list[list[int]]]:
    """What llama.cpp makes of texts with each of the files. Beside them stands an id that text
    never becomes."""
    pytest.importorskip("xllamacpp")
    # Strings in a list are encoded one by one, and a number there is an id already.
    mixed = [
        (str(file), [part for text in texts for part in (text, end)]) for file, texts, end in asked
    ]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], input=json.dumps(mixed), capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results = []
    for tokens, (_, texts, end) in zip(
        json.loads(done.stdout.splitlines()[-1]), asked, strict=True
    ):
        found: list[list[int]] = [[]]
        for token in tokens:
            if token == end:
                found.append([])
            else:
                found[-1].append(token)
        assert len(found) == len(texts) + 1 and not found.pop()
        results.append(found)
    return results


def test_a_thousand_texts(texts: list[str], tmp_path: Path) -> None:
    rng = random.Random(6)
    every = [*texts[:200], *("".join(rng.choices(_POOL, k=rng.randint(1, 30))) for _ in range(800))]
    ours = {name: train_tokenizer(texts, 700, pattern=name) for name in PRETOKENIZERS}
    for name, tokenizer in ours.items():
        _write(tmp_path / name, tokenizer)
    found = _llama_cpp([(tmp_path / name, every, one.eot_id) for name, one in ours.items()])
    for (name, tokenizer), theirs in zip(ours.items(), found, strict=True):
        wrong = [t for t, ids in zip(every, theirs, strict=True) if ids != tokenizer.encode(t)]
        assert wrong == [], name


def test_every_name_that_is_imported_means_there_what_it_means_here(
    texts: list[str], tmp_path: Path
) -> None:
    # Merges over all borders, so that every cut shows.
    made = replace(train_tokenizer(texts, 900, pattern="none").vocabulary, pattern="gpt4")
    rng = random.Random(7)
    drawn = ["".join(rng.choices(_POOL, k=rng.randint(1, 30))) for _ in range(600)]
    # Text is brought to composed letters by the names that say so, but not by llama.cpp.
    every = [t for t in [*texts[:40], *drawn] if unicodedata.is_normalized("NFC", t)]
    asked, end = [], Tokenizer(made).eot_id
    for pre, (pattern, _, _) in sorted(_GGUF_PATTERNS.items()):
        _write(tmp_path / pre, Tokenizer(made), pre)
        # o200k's takes capitals beyond A to Z for small letters there, and marks for none.
        some = [text for text in every if text.isascii() or pattern != "o200k"]
        asked.append((tmp_path / pre, some, end))
    for (file, some, _), theirs in zip(asked, _llama_cpp(asked), strict=True):
        metadata = {**gguf_metadata(made), "pre": file.name}
        ours = Tokenizer(gguf_vocabulary(**metadata)).encode_batch(some)
        wrong = [t for t, a, b in zip(some, ours, theirs, strict=True) if a.tolist() != b]
        assert len(some) > 40 and wrong == [], file.name


def test_what_llama_cpp_does_otherwise_is_said(texts: list[str], tmp_path: Path) -> None:
    made = train_tokenizer(texts, 700, pattern="qwen")
    composed = Tokenizer(replace(made.vocabulary, normalizer="NFC"))
    _write(tmp_path / "mill.gguf", composed)
    ((apart, one),) = _llama_cpp([(tmp_path / "mill.gguf", ["e\u0301", "é"], made.eot_id)])
    # It leaves text as it is, where the model's makers bring it to composed letters.
    assert (apart, one) == (made.encode("e\u0301"), composed.encode("e\u0301"))
    assert apart != one
    assert "NFC" in (gguf_note(composed.vocabulary) or "")
    assert gguf_note(made.vocabulary) is None
