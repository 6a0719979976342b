"""Llama's, Qwen2's and Qwen3's shapes: transformers writes them, we read them, and back."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gristmill.core.errors import GristmillError
from gristmill.model.flops import count_parameters
from gristmill.model.rotary import RopeScaling, Yarn
from gristmill.model.scalar import ScalarModel, load_scalar, save_scalar
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import config_to_hf, load_config, load_model, save_model

transformers = pytest.importorskip("transformers")

LLAMA3 = RopeScaling(factor=8.0, low_frequency=1.0, high_frequency=4.0, original_context=32)
CONFIG = TransformerConfig(
    vocab_size=97,
    width=48,
    layers=2,
    heads=6,
    kv_heads=2,
    head_dim=8,
    mlp_width=80,
    context=256,
    rope_theta=5000.0,
    norm_eps=1e-5,
)
SHAPES = {
    "qwen3": CONFIG,
    "qwen2": dataclasses.replace(CONFIG, qk_norm=False, qkv_bias=True),
    "llama": dataclasses.replace(CONFIG, qk_norm=False),
    "llama3": dataclasses.replace(CONFIG, qk_norm=False, rope_scaling=LLAMA3),
    "yarn": dataclasses.replace(CONFIG, head_dim=16, rope_scaling=Yarn(4.0, 64)),
}
TOKENS = torch.randint(0, 97, (3, 100), generator=torch.Generator().manual_seed(2))


def write_theirs(folder: Path, shape: str, tied: bool, dtype: torch.dtype = torch.float32) -> Any:
    """A random model of transformers' own classes and initialisation, every vector moved too."""
    config = config_to_hf(dataclasses.replace(SHAPES[shape], tied=tied))
    kind = config["model_type"]
    theirs_config = transformers.AutoConfig.for_model(
        kind, **{k: v for k, v in config.items() if k not in ("architectures", "model_type")}
    )
    torch.manual_seed(5)
    theirs = transformers.AutoModelForCausalLM.from_config(theirs_config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    theirs = theirs.to(dtype).eval()
    theirs.save_pretrained(folder)
    return theirs


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_what_transformers_wrote_gives_the_same_logits_here_and_back(
    tmp_path: Path, shape: str, tied: bool
) -> None:
    theirs = write_theirs(tmp_path / "theirs", shape, tied)
    ours = load_model(tmp_path / "theirs")
    assert ours.config == dataclasses.replace(SHAPES[shape], tied=tied)
    assert count_parameters(ours.config).total == ours.num_parameters()
    save_model(tmp_path / "ours", ours)
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert type(back) is type(theirs)
    with torch.no_grad():
        logits = ours.head(ours(TOKENS))
        assert (logits - theirs(TOKENS).logits).abs().max() < 1e-5 * logits.abs().max()
        assert torch.equal(back(TOKENS).logits, theirs(TOKENS).logits)


def test_scaled_positions_matter_and_are_read_from_old_files(tmp_path: Path) -> None:
    theirs = write_theirs(tmp_path, "llama3", True)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    path.write_text(json.dumps({**config, "rope_scaling": rope}))
    ours = load_model(tmp_path)
    assert ours.config.rope_scaling == LLAMA3
    plain = Transformer(dataclasses.replace(ours.config, rope_scaling=None))
    plain.load_state_dict(ours.state_dict())
    with torch.no_grad():
        wanted = theirs(TOKENS).logits
        assert (ours.head(ours(TOKENS)) - wanted).abs().max() < 1e-4
        assert (plain.head(plain(TOKENS)) - wanted).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_only_where_asked(tmp_path: Path, dtype: torch.dtype) -> None:
    write_theirs(tmp_path, "llama", True, dtype)
    assert {p.dtype for p in load_model(tmp_path).parameters()} == {dtype}
    wide = load_model(tmp_path, dtype=torch.float32)
    assert {p.dtype for p in wide.parameters()} == {torch.float32}
    stored = load_file(tmp_path / "model.safetensors")["model.norm.weight"]
    assert torch.equal(wide.model.norm.weight, stored.float())


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_the_cache_and_the_whole_row_agree(shape: str) -> None:
    model = Transformer(SHAPES[shape])
    model.init_weights(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "proj.weight")):
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(len(name)))
        whole = model.eval()(TOKENS)
        cache = model.new_cache(3, 128)
        parts = [model(TOKENS[:, :60], cache=cache), model(TOKENS[:, 60:], cache=cache)]
    assert (whole - torch.cat(parts, dim=1)).abs().max() < 1e-4


def test_biases_begin_at_zero_and_a_head_norm_is_not_made_where_off() -> None:
    model = Transformer(SHAPES["qwen2"])
    model.init_weights(0)
    biases = {n: p for n, p in model.named_parameters() if n.endswith("bias")}
    assert len(biases) == 3 * CONFIG.layers
    assert all(not p.any() for p in biases.values())
    assert not any("q_norm" in name for name in model.state_dict())
    with pytest.raises(GristmillError, match="both head norms and biases"):
        config_to_hf(dataclasses.replace(CONFIG, qkv_bias=True))


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_reward_model_of_each_shape_is_read_by_transformers(tmp_path: Path, shape: str) -> None:
    model = Transformer(SHAPES[shape])
    model.init_weights(0)
    reward = ScalarModel.from_transformer(model, 1).eval()
    save_scalar(tmp_path, reward, pad_id=0)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    again = load_scalar(tmp_path)
    tokens = TOKENS.clamp(min=1)
    with torch.no_grad():
        assert torch.equal(again(tokens), reward(tokens))
        assert (theirs(tokens).logits[:, 0] - reward(tokens)[:, -1]).abs().max() < 1e-5


def test_rotary_tables_of_old_files_are_left_out(tmp_path: Path) -> None:
    write_theirs(tmp_path, "llama", False)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(tensors, path)
    assert load_model(tmp_path).config.tied is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mixtral"}, "'mixtral' cannot be loaded; give one of type llama"),
        ({"attention_bias": True}, "attention_bias must be False"),
        ({"mlp_bias": True}, "mlp_bias must be False"),
        ({"hidden_act": "gelu"}, "hidden_act must be 'silu'"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "'default' or 'llama3' or 'yarn'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4}}, "original_max_position"),
        (
            {
                "rope_parameters": {
                    "rope_type": "yarn",
                    "factor": 4,
                    "attention_factor": 1.0,
                    "original_max_position_embeddings": 64,
                }
            },
            "attention factor",
        ),
        ({"rope_scaling": {"type": "linear"}, "rope_parameters": None}, "rope_type"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8}}, "low_freq_factor is missing"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_what_is_not_computed_here_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**config_to_hf(SHAPES["llama"]), **change}))
    with pytest.raises(GristmillError, match=message):
        load_config(tmp_path)


def test_a_file_without_head_dim_means_what_its_family_means(tmp_path: Path) -> None:
    for shape, head_dim in (("llama", 8), ("qwen2", 8), ("qwen3", 128)):
        config = config_to_hf(SHAPES[shape])
        del config["head_dim"]
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert load_config(tmp_path).head_dim == head_dim
        theirs = transformers.AutoConfig.from_pretrained(tmp_path)
        assert getattr(theirs, "head_dim", None) in (head_dim, None)


def test_yarns_attention_factor_is_the_one_of_the_paper(tmp_path: Path) -> None:
    theirs = write_theirs(tmp_path, "yarn", True)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for rope in (config["rope_parameters"], config.get("rope_scaling") or {}):
        for name in ("attention_factor", "beta_fast", "beta_slow"):
            rope.pop(name, None)
    path.write_text(json.dumps(config))
    own = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ours = load_model(tmp_path)
    with torch.no_grad():
        logits = own(TOKENS).logits
        assert torch.equal(logits, theirs(TOKENS).logits)
        assert (ours.head(ours(TOKENS)) - logits).abs().max() < 1e-4
