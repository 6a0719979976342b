"""Weights in and out: safetensors and a `config.json` that transformers loads with no custom code.

No pickle in either direction. Shapes are checked against the configuration before anything is
copied, so that a wrong file is refused by name rather than half loaded.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.model.transformer import Transformer, TransformerConfig

WEIGHTS, CONFIG, GENERATION = "model.safetensors", "config.json", "generation_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_ARCHITECTURE = "Qwen3ForCausalLM"


def save_model(
    folder: Path | str,
    model: Transformer,
    tokenizer_folder: Path | str | None = None,
    *,
    eos_id: int | None = None,
    pad_id: int | None = None,
) -> None:
    """Writes weights, configuration and the tokenizer's files into `folder`, made if missing.

    eos_id, pad_id: what generation stops at and pads with; where eos_id is None it is the
    `eos_token` (else `<|endoftext|>`) of the tokenizer's files, where they name one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer_folder is not None:
        for name in _TOKENIZER_FILES:
            source = Path(tokenizer_folder) / name
            if source.is_file():
                shutil.copyfile(source, folder / name)
        eos_id = _eos_id(folder) if eos_id is None else eos_id
    config = config_to_hf(model.config, model.model.embed_tokens.weight.dtype)
    stops = {"bos_token_id": None, "eos_token_id": eos_id, "pad_token_id": pad_id}
    write_json(folder / CONFIG, {**config, **stops})
    write_json(
        folder / GENERATION, {key: value for key, value in stops.items() if value is not None}
    )
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )


def load_model(
    folder: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Transformer:
    """The model that `save_model` (or transformers) wrote, in evaluation mode.

    dtype: the precision to hold it in; the file's own where None. A sharded checkpoint
    (`model.safetensors.index.json`) is read too.
    Raises GristmillError on a missing file, another architecture, missing or surplus tensors and
    wrong shapes.
    """
    folder = Path(folder)
    config = load_config(folder)
    tensors = _read_tensors(folder, device)
    if config.tied:
        # Some writers store the shared matrix under both names.
        tensors.pop("lm_head.weight", None)
    with torch.device("meta"):
        model = Transformer(config)
    expected = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    _check(tensors, expected, folder / WEIGHTS)
    if dtype is not None:
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    model.load_state_dict(tensors, assign=True)
    model.requires_grad_(True)
    return model.eval()


def load_config(folder: Path | str) -> TransformerConfig:
    """The shape that a folder's `config.json` gives."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise GristmillError("no config.json: this is not a model folder", where=folder)
    try:
        config = read_json(path)
    except json.JSONDecodeError as error:
        raise GristmillError(f"not JSON: {error}", where=path) from error
    if not isinstance(config, dict):
        raise GristmillError("not a JSON object", where=path)
    return config_from_hf(config, path)


def config_to_hf(config: TransformerConfig, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """What transformers 5 reads: `head_dim` stands alone, `rope_theta` in `rope_parameters`."""
    return {
        "architectures": [_ARCHITECTURE],
        "model_type": "qwen3",
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        # Loaders older than transformers 5 (and llama.cpp's converter) look here.
        "rope_theta": config.rope_theta,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "tie_word_embeddings": config.tied,
        "dtype": str(dtype).removeprefix("torch."),
        "use_cache": True,
    }


def config_from_hf(config: dict[str, Any], where: Path) -> TransformerConfig:
    """The inverse of `config_to_hf`; refuses what the transformer here does not compute."""
    if config.get("model_type") != "qwen3":
        raise GristmillError(
            f"a model of type '{config.get('model_type')}' cannot be loaded",
            where=where,
            mend="give a Qwen3-shaped model",
        )
    rope = config.get("rope_parameters") or {}
    rope_type = rope.get("rope_type", "default")
    for key, value, only in (
        ("rope_parameters.rope_type", rope_type, "default"),
        ("hidden_act", config.get("hidden_act", "silu"), "silu"),
        ("attention_bias", config.get("attention_bias", False), False),
        ("use_sliding_window", config.get("use_sliding_window", False), False),
    ):
        if value != only:
            raise GristmillError(f"{key} must be {only!r}, not {value!r}", where=where)
    try:
        heads = int(config["num_attention_heads"])
        return TransformerConfig(
            vocab_size=int(config["vocab_size"]),
            width=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or 128),
            mlp_width=int(config["intermediate_size"]),
            context=int(config["max_position_embeddings"]),
            rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
            tied=bool(config.get("tie_word_embeddings", False)),
            norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        )
    except KeyError as error:
        raise GristmillError(f"{error.args[0]} is missing", where=where) from error
    except (TypeError, ValueError) as error:
        raise GristmillError(f"a value has the wrong type: {error}", where=where) from error


def _read_tensors(folder: Path, device: torch.device | str) -> dict[str, Tensor]:
    files: Iterable[Path] = [folder / WEIGHTS]
    index = folder / f"{WEIGHTS}.index.json"
    if not (folder / WEIGHTS).is_file() and index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        # A name with a folder in it could point outside the checkpoint.
        files = [folder / Path(name).name for name in names]
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise GristmillError("no such weights", where=file)
        try:
            with safe_open(file, framework="pt", device=str(device)) as opened:
                names = list(opened.keys())
                tensors |= {name: opened.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise GristmillError(f"not a safetensors file: {error}", where=file) from error
    return tensors


def _check(tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]], where: Path) -> None:
    missing = sorted(expected.keys() - tensors.keys())
    surplus = sorted(tensors.keys() - expected.keys())
    wrong = [
        f"{name} is {tuple(tensors[name].shape)}, not {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    faults = [f"{name} is missing" for name in missing]
    faults += [f"{name} belongs to no part of the model" for name in surplus] + wrong
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise GristmillError(
            "weights and config.json disagree: " + "; ".join(faults[:3]) + more, where=where
        )


def _eos_id(folder: Path) -> int | None:
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        return None
    ids = {token["content"]: token["id"] for token in read_json(tokenizer).get("added_tokens", [])}
    config = folder / "tokenizer_config.json"
    name = read_json(config).get("eos_token") if config.is_file() else None
    if isinstance(name, dict):
        name = name.get("content")
    return ids.get(name or "<|endoftext|>")
