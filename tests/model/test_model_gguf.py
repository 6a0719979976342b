"""GGUF files that the format's own library writes, read back into the model they came from."""

import builtins
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.model.gguf import halves, open_gguf
from gristmill.model.rotary import RopeScaling, stretched
from gristmill.model.transformer import Transformer, TransformerConfig

gguf = pytest.importorskip("gguf")

CONFIG = TransformerConfig(
    vocab_size=96,
    width=64,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    mlp_width=96,
    context=128,
    rope_theta=50_000.0,
    norm_eps=1e-5,
)
SHAPES = {
    "qwen3": dataclasses.replace(CONFIG, head_dim=32),
    "qwen2": dataclasses.replace(CONFIG, qk_norm=False, qkv_bias=True),
    "llama": dataclasses.replace(CONFIG, qk_norm=False),
}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOKENS = torch.randint(0, 96, (2, 60), generator=torch.Generator().manual_seed(2))


def build(config: TransformerConfig) -> Transformer:
    model = Transformer(config)
    model.init_weights(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def paired(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to q and k of Llama, row by row."""
    per_head = rows.shape[0] // heads
    order = [h * per_head + j * per_head // 2 + i
             for h in range(heads) for i in range(per_head // 2) for j in (0, 1)]  # fmt: skip
    return rows[order]


def write(
    path: Path,
    architecture: str,
    model: Transformer,
    *,
    change: dict[str, Any] | None = None,
    stored: str = "F32",
    extra: dict[str, np.ndarray] | None = None,
    without: str = "",
) -> Path:
    """A file as llama.cpp's converter writes it. `change`: metadata set, or left out where None."""
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    metadata: dict[str, Any] = {
        "context_length": config.context,
        "embedding_length": config.width,
        "block_count": config.layers,
        "feed_forward_length": config.mlp_width,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
        "rope.freq_base": config.rope_theta,
    }
    if config.head_dim != config.width // config.heads:
        metadata["attention.key_length"] = metadata["attention.value_length"] = config.head_dim
    for key, value in {**metadata, **(change or {})}.items():
        if isinstance(value, float):
            writer.add_float32(f"{architecture}.{key}", value)
        elif isinstance(value, str):
            writer.add_string(f"{architecture}.{key}", value)
        elif value is not None:
            writer.add_uint32(f"{architecture}.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["<|endoftext|>", *map(str, range(95))])
    writer.add_token_types([3, *[1] * 95])
    writer.add_token_merges(["1 2"])
    writer.add_eos_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{{ messages }}")
    kind = gguf.GGMLQuantizationType[stored]
    for name, tensor in model.state_dict().items():
        stem, _, suffix = name.rpartition(".")
        array = tensor.numpy()
        if stem.startswith("model.layers."):
            _, _, layer, rest = stem.split(".", 3)
            if architecture == "llama" and rest.endswith(("q_proj", "k_proj")):
                array = paired(array, config.heads if "q_proj" in rest else config.kv_heads)
            theirs = f"blk.{layer}.{NAMES[rest]}.{suffix}"
        else:
            theirs = f"{NAMES[stem]}.{suffix}"
        if theirs == without:
            continue
        if array.ndim == 2 and stored != "F32":
            writer.add_tensor(theirs, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(theirs, array)
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logits(model: Transformer) -> torch.Tensor:
    with torch.no_grad():
        return model.head(model(TOKENS))


def read(path: Path) -> Transformer:
    opened = open_gguf(path)
    model = Transformer(opened.config)
    model.load_state_dict(dict(opened.tensors()))
    return model.eval()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", sorted(SHAPES))
def test_the_model_comes_back(tmp_path: Path, architecture: str, tied: bool) -> None:
    model = build(dataclasses.replace(SHAPES[architecture], tied=tied))
    path = write(tmp_path / "x.gguf", architecture, model)
    again = read(path)
    assert again.config == model.config
    assert torch.equal(logits(again), logits(model))
    assert {tensor.dtype for _, tensor in open_gguf(path).tensors()} == {torch.float32}


def test_rows_are_put_back_by_hand() -> None:
    # One head of 6 rows: the pairs (0, 3), (1, 4), (2, 5) stand side by side in the file.
    assert halves(np.array([0, 3, 1, 4, 2, 5]), 1).tolist() == [0, 1, 2, 3, 4, 5]
    rows = np.arange(48).reshape(24, 2)
    assert np.array_equal(halves(paired(rows, 3), 3), rows)
    assert not np.array_equal(halves(rows, 3), rows)


@pytest.mark.parametrize(("stored", "error"), [("F16", 0.005), ("Q8_0", 0.02), ("Q4_1", 0.15)])
def test_quantised_weights_are_widened(tmp_path: Path, stored: str, error: float) -> None:
    model = build(SHAPES["llama"])
    path = write(tmp_path / "x.gguf", "llama", model, stored=stored)
    opened = open_gguf(path)
    assert opened.quantisation == {"F32": 5, stored: 15}
    again, wanted = dict(opened.tensors()), model.state_dict()
    for name, tensor in again.items():
        assert (tensor - wanted[name]).abs().max() <= error * wanted[name].abs().max(), name
    assert not torch.equal(again["lm_head.weight"] if "lm_head.weight" in again else
                           again["model.embed_tokens.weight"], model.head_weight)  # fmt: skip


def test_metadata_beside_the_weights(tmp_path: Path) -> None:
    opened = open_gguf(write(tmp_path / "x.gguf", "llama", build(SHAPES["llama"])))
    assert (opened.config.norm_eps, opened.config.rope_theta) == (1e-5, 50_000.0)
    assert opened.chat_template == "{{ messages }}"
    tokenizer = opened.tokenizer
    assert (tokenizer.model, tokenizer.pre) == ("gpt2", "smollm")
    assert (tokenizer.tokens[0], tokenizer.types[:2]) == ("<|endoftext|>", [3, 1])
    assert tokenizer.merges == ["1 2"]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (None, 0, 0)
    assert tokenizer.add_bos


def test_scaled_positions_are_known_by_their_factors(tmp_path: Path) -> None:
    scaling = RopeScaling(32.0, 1.0, 4.0, 8192)
    model = build(dataclasses.replace(SHAPES["llama"], rope_scaling=scaling))
    exponent = torch.arange(0, 16, 2, dtype=torch.float32) / 16
    frequency = 1.0 / (50_000.0**exponent)
    factors = (frequency / stretched(frequency, scaling)).numpy()
    assert factors[0] == 1 and factors[-1] == 32
    path = write(tmp_path / "x.gguf", "llama", model, extra={"rope_freqs.weight": factors})
    again = read(path)
    assert again.config == model.config
    assert torch.equal(logits(again), logits(model))
    other = write(tmp_path / "y.gguf", "llama", model, extra={"rope_freqs.weight": factors * 2})
    with pytest.raises(GristmillError, match="not one of Llama 3's"):
        open_gguf(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expert_count": 8}, "llama.expert_count must be 0, not 8"),
        ({"rope.scaling.type": "longrope"}, "rope.scaling.type must be 'none' or 'yarn'"),
        ({"rope.dimension_count": 8}, "rope.dimension_count must be 16, not 8"),
        ({"attention.value_length": 8}, "attention.value_length"),
        ({"attention.sliding_window": 64}, "sliding_window"),
        ({"block_count": None}, "lacks llama.block_count"),
        ({"attention.head_count": 0}, "damaged"),
        ({"attention.head_count_kv": 3}, "cannot share"),
        ({"context_length": "long"}, "damaged"),
    ],
)
def test_what_is_not_computed_here_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "x.gguf", "llama", build(SHAPES["llama"]), change=change)
    with pytest.raises(GristmillError, match=message) as caught:
        open_gguf(path)
    assert str(path) in str(caught.value)


def test_other_models_and_other_tensors_are_refused(tmp_path: Path) -> None:
    model = build(SHAPES["llama"])
    with pytest.raises(GristmillError, match=r"architecture 'gemma'.*llama, qwen2, qwen3"):
        open_gguf(write(tmp_path / "a.gguf", "gemma", model))
    with pytest.raises(GristmillError, match=r"token_embd\.weight is missing"):
        open_gguf(write(tmp_path / "b.gguf", "llama", model, without="token_embd.weight"))
    extra = {"blk.0.ffn_gate_inp.weight": np.zeros((4, 4), dtype=np.float32)}
    opened = open_gguf(write(tmp_path / "c.gguf", "llama", model, extra=extra))
    with pytest.raises(GristmillError, match=r"ffn_gate_inp.* belongs to no part"):
        dict(opened.tensors())


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.gguf", "llama", build(SHAPES["llama"])).read_bytes()
    with pytest.raises(GristmillError, match="no such file"):
        open_gguf(tmp_path / "none.gguf")
    path = tmp_path / "y.gguf"
    for content in (b"", b"PK\x03\x04" + whole[4:]):
        path.write_bytes(content)
        with pytest.raises(GristmillError, match=r"y\.gguf: not a GGUF file; give a \.gguf"):
            open_gguf(path)
    for content in (b"GGUF", whole[:200], whole[:-4000]):
        path.write_bytes(content)
        with pytest.raises(GristmillError, match=r"y\.gguf: .*; download it again"):
            open_gguf(path)
    # Bits of the header and the metadata, each damaged once: an error or a model, no other end.
    for place in range(4, 1500, 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            dict(open_gguf(path).tensors())
        except GristmillError:
            continue


def test_the_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "gguf":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(GristmillError, match=r"pip install 'gristmill\[gguf\]'"):
        open_gguf(tmp_path / "x.gguf")
    (tmp_path / "y.gguf").write_bytes(b"PK\3\4")
    with pytest.raises(GristmillError, match="not a GGUF file"):
        open_gguf(tmp_path / "y.gguf")
