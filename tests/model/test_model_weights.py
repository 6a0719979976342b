import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gristmill.core.errors import GristmillError
from gristmill.model import attention as attention_module
from gristmill.model.device import choose_device
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_config, load_model, save_model

CONFIG = TransformerConfig(
    vocab_size=97,
    width=32,
    layers=3,
    heads=4,
    kv_heads=2,
    head_dim=24,
    mlp_width=80,
    context=128,
    rope_theta=5000.0,
    norm_eps=1e-5,
)


def build(config: TransformerConfig = CONFIG) -> Transformer:
    model = Transformer(config)
    model.init_weights(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


TOKENS = torch.randint(0, 97, (3, 100), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("tied", [True, False])
def test_comes_back_bit_for_bit(tmp_path: Path, tied: bool) -> None:
    config = dataclasses.replace(CONFIG, tied=tied)
    model = build(config)
    save_model(tmp_path, model)
    again = load_model(tmp_path)
    assert again.config == config
    assert not again.training
    with torch.no_grad():
        assert torch.equal(model.head(model(TOKENS)), again.head(again(TOKENS)))
    # The head of a tied model is the embedding itself, also after loading.
    assert ("lm_head.weight" in again.state_dict()) is not tied
    half = load_model(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("limit", [0, 512])
def test_transformers_gives_the_same_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tied: bool, limit: int
) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(attention_module, "MATMUL_LIMIT", limit)
    model = build(dataclasses.replace(CONFIG, tied=tied))
    save_model(tmp_path, model, eos_id=3, pad_id=4)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    assert theirs.generation_config.eos_token_id == 3
    assert theirs.config.pad_token_id == 4
    with torch.no_grad():
        difference = (model.head(model(TOKENS)) - theirs(TOKENS).logits).abs().max()
    # With the fused kernel, which transformers uses too, there is none.
    assert difference == 0 if limit == 0 else difference < 1e-4


def test_reads_what_transformers_wrote_even_in_shards(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save_model(tmp_path / "ours", build())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="40KB")
    assert not (tmp_path / "theirs" / "model.safetensors").exists()
    again = load_model(tmp_path / "theirs")
    with torch.no_grad():
        assert torch.equal(
            again.head(again(TOKENS)),
            load_model(tmp_path / "ours").head(load_model(tmp_path / "ours")(TOKENS)),
        )


def test_takes_the_tokenizer_along(tmp_path: Path) -> None:
    tokens = [{"id": 0, "content": "<|endoftext|>"}, {"id": 1, "content": "<|pad|>"}]
    source = tmp_path / "tokenizer"
    source.mkdir()
    (source / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    save_model(tmp_path / "model", build(), source)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["eos_token_id"] == 0
    assert json.loads((tmp_path / "model" / "generation_config.json").read_text()) == {
        "eos_token_id": 0
    }
    assert (tmp_path / "model" / "tokenizer.json").is_file()


def test_same_weights_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_model(tmp_path / name, build())
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def damaged(tmp_path: Path, change: str) -> Path:
    save_model(tmp_path, build())
    tensors = load_file(tmp_path / "model.safetensors")
    if change == "missing":
        del tensors["model.norm.weight"]
    elif change == "surplus":
        tensors["model.value_embeds.weight"] = torch.zeros(2)
    elif change == "shape":
        name = "model.layers.1.mlp.up_proj.weight"
        tensors[name] = tensors[name][:-1].contiguous()
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"model\.norm\.weight is missing"),
        ("surplus", r"value_embeds\.weight belongs to no part"),
        ("shape", r"layers\.1\.mlp\.up_proj\.weight is \(79, 32\), not \(80, 32\)"),
    ],
)
def test_refuses_weights_that_do_not_fit(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        load_model(damaged(tmp_path, change))


def test_refuses_files_that_are_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match=r"no config\.json"):
        load_model(tmp_path)
    save_model(tmp_path, build())
    (tmp_path / "model.safetensors").write_bytes(b"\x05\x00\x00\x00\x00\x00\x00\x00hello")
    with pytest.raises(GristmillError, match="not a safetensors file"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(GristmillError, match="no such weights"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(GristmillError, match="not JSON"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "gpt2"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "factor is missing"),
        ({"hidden_size": None}, "wrong type"),
    ],
)
def test_refuses_what_it_would_compute_wrongly(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    save_model(tmp_path, build())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(GristmillError, match=message):
        load_config(tmp_path)


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(GristmillError, match="no device 'quantum'"):
        choose_device("quantum")
    if not torch.cuda.is_available():
        with pytest.raises(GristmillError, match="has no cuda"):
            choose_device("cuda")
