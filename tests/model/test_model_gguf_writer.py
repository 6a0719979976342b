"""GGUF files that we write, read back by the reader: names, order of rows, types, metadata."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.model.gguf import GgufTokenizer, halves, open_gguf
from gristmill.model.gguf_writer import Stored, pairs, write_gguf
from gristmill.model.rotary import RopeScaling, Yarn
from gristmill.model.transformer import Transformer, TransformerConfig

gguf = pytest.importorskip("gguf")

CONFIG = TransformerConfig(
    vocab_size=96, width=64, layers=2, heads=4, kv_heads=2, head_dim=16, mlp_width=80, context=128,
    rope_theta=50_000.0, norm_eps=1e-5,
)  # fmt: skip
SHAPES = {
    "qwen3": dataclasses.replace(CONFIG, head_dim=32, tied=False),
    "qwen2": dataclasses.replace(CONFIG, qk_norm=False, qkv_bias=True),
    "llama": dataclasses.replace(
        CONFIG, qk_norm=False, rope_scaling=RopeScaling(8.0, 1.0, 4.0, 8192)
    ),
}
TOKENIZER = GgufTokenizer(
    model="gpt2", pre="llama-bpe", tokens=[f"t{i}" for i in range(96)], types=[1] * 95 + [3],
    merges=["t 1", "t 2"], bos_id=95, eos_id=95, pad_id=94, add_bos=True,
)  # fmt: skip


def build(config: TransformerConfig) -> Transformer:
    model = Transformer(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


def write(path: Path, model: Transformer, stored: Stored = "f32") -> dict[str, int]:
    return write_gguf(path, model.config, model.state_dict(), TOKENIZER, stored=stored, name="mill")


def test_yarn_stands_in_the_metadata(tmp_path: Path) -> None:
    model = build(dataclasses.replace(CONFIG, rope_scaling=Yarn(4.0, 32)))
    write(tmp_path / "model.gguf", model)
    again = open_gguf(tmp_path / "model.gguf")
    assert again.config == model.config
    assert dict(again.tensors()).keys() == model.state_dict().keys()


@pytest.mark.parametrize("architecture", SHAPES)
def test_what_is_written_is_read_again(tmp_path: Path, architecture: str) -> None:
    model = build(SHAPES[architecture])
    write(tmp_path / "model.gguf", model)
    again = open_gguf(tmp_path / "model.gguf")
    assert (again.architecture, again.config) == (architecture, model.config)
    assert again.tokenizer == TOKENIZER and again.name == "mill"
    weights = model.state_dict()
    found = dict(again.tensors())
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())


def test_llama_rows_stand_in_pairs_in_the_file(tmp_path: Path) -> None:
    model = build(SHAPES["llama"])
    write(tmp_path / "model.gguf", model)
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    stored = next(t for t in reader.tensors if t.name == "blk.1.attn_q.weight").data
    ours = model.state_dict()["model.layers.1.self_attn.q_proj.weight"].numpy()
    # Head 2: its rows 0 and 8 rotate together and stand side by side in the file.
    np.testing.assert_array_equal(stored[32:34], ours[[32, 40]])
    np.testing.assert_array_equal(halves(pairs(ours, 4), 4), ours)


def test_types_of_what_is_stored(tmp_path: Path) -> None:
    model = build(SHAPES["llama"])
    vectors = 2 * 2 + 1 + 1  # two norms a block, the last norm, the rotary factors
    assert write(tmp_path / "h.gguf", model, "f16") == {"f32": vectors, "f16": 15}
    # Rows of the down projections have 80 numbers, which 32 does not divide.
    assert write(tmp_path / "q.gguf", model, "q8_0") == {"f32": vectors, "q8_0": 13, "f16": 2}
    for name, most in (("h.gguf", 1e-3), ("q.gguf", 1e-2)):
        for tensor, found in open_gguf(tmp_path / name).tensors():
            wanted = model.state_dict()[tensor]
            error = (found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt()
            assert error < most
            assert error > 0 or wanted.ndim == 1


def test_what_cannot_be_written(tmp_path: Path) -> None:
    both = dataclasses.replace(CONFIG, qk_norm=True, qkv_bias=True)
    with pytest.raises(GristmillError, match="head norms and biases"):
        write(tmp_path / "model.gguf", build(both))
    model = build(CONFIG)
    with torch.no_grad():
        model.state_dict()["model.layers.0.mlp.up_proj.weight"][3, 3] = 1e6
    with pytest.raises(GristmillError, match="beyond the range of f16"):
        write(tmp_path / "model.gguf", model, "f16")
