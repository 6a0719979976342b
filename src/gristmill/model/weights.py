"""Weights in and out: safetensors and a `config.json` that transformers loads with no custom code.

The architectures are Llama's, Qwen2's and Qwen3's, and two which nothing but gristmill loads: an
LSTM and the transformer of speedrun.py.
No pickle in either direction. Shapes are checked against the configuration before anything is
copied, so that a wrong file is refused by name rather than half loaded.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.model.language_model import LanguageModel
from gristmill.model.lstm import LstmConfig, LstmModel
from gristmill.model.rotary_files import rope_from_hf, rope_to_hf
from gristmill.model.speedrun import Speedrun
from gristmill.model.speedrun_config import (
    NOT_EXPORTABLE,
    SPEEDRUN_TYPE,
    SpeedrunConfig,
    speedrun_from_json,
    speedrun_to_json,
)
from gristmill.model.transformer import Transformer, TransformerConfig

WEIGHTS, CONFIG, GENERATION = "model.safetensors", "config.json", "generation_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "chat.json")

# model_type: (class of transformers, qk_norm, qkv_bias, its head_dim where the file gives none)
_SHAPES = {
    "qwen3": ("Qwen3ForCausalLM", True, False, 128),
    "qwen2": ("Qwen2ForCausalLM", False, True, None),
    "llama": ("LlamaForCausalLM", False, False, None),
}
# No class of transformers computes it: nothing but gristmill loads such a folder.
LSTM_TYPE = "gristmill_lstm"

ModelConfig = TransformerConfig | LstmConfig | SpeedrunConfig


def save_model(
    folder: Path | str,
    model: LanguageModel,
    tokenizer_folder: Path | str | None = None,
    *,
    eos_id: int | Sequence[int] | None = None,
    pad_id: int | None = None,
) -> None:
    """Writes weights, configuration and the tokenizer's files into `folder`, made if missing.

    eos_id, pad_id: what generation stops at (one or several) and pads with; where eos_id is None
    it is the `eos_token` (else `<|endoftext|>`) of the tokenizer's files, where they name one.
    """
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    save_folder(folder, model.config, tensors, tokenizer_folder, eos_id=eos_id, pad_id=pad_id)


def save_folder(
    folder: Path | str,
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    tokenizer_folder: Path | str | None = None,
    *,
    eos_id: int | Sequence[int] | None = None,
    pad_id: int | None = None,
    bos_id: int | None = None,
) -> None:
    """`save_model` from the parts: a configuration and tensors by name."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer_folder is not None:
        for name in TOKENIZER_FILES:
            source = Path(tokenizer_folder) / name
            if source.is_file() and source.resolve() != (folder / name).resolve():
                shutil.copyfile(source, folder / name)
        eos_id = _eos_id(folder) if eos_id is None else eos_id
    if isinstance(eos_id, Sequence):
        eos_id = eos_id[0] if len(eos_id) == 1 else list(eos_id) or None
    dtype = tensors["model.embed_tokens.weight"].dtype
    if isinstance(config, LstmConfig):
        described = _lstm_to_json(config, dtype)
    elif isinstance(config, SpeedrunConfig):
        described = {**speedrun_to_json(config), "dtype": str(dtype).removeprefix("torch.")}
    else:
        described = config_to_hf(config, dtype)
    stops = {"bos_token_id": bos_id, "eos_token_id": eos_id, "pad_token_id": pad_id}
    write_json(folder / CONFIG, {**described, **stops})
    write_json(
        folder / GENERATION, {key: value for key, value in stops.items() if value is not None}
    )
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )
    # safetensors makes a file for its owner alone; a model is as readable as its config.json.
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)


def load_model(
    folder: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> LanguageModel:
    """The model that `save_model` (or transformers) wrote, in evaluation mode: a `Transformer`,
    an `LstmModel` or a `Speedrun`, as its config.json says.

    dtype: the precision to hold it in; the file's own where None. A sharded checkpoint
    (`model.safetensors.index.json`) is read too.
    Raises GristmillError on a missing file, another architecture, missing or surplus tensors and
    wrong shapes.
    """
    folder = Path(folder)
    config = load_config(folder)
    tensors = read_tensors(folder, device)
    if config.tied:
        # Some writers store the shared matrix under both names.
        tensors.pop("lm_head.weight", None)
    check_tensors(tensors, expected_shapes(config), folder / WEIGHTS)
    with torch.device("meta"):
        model = new_model(config)
    if dtype is not None:
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    model.load_state_dict(tensors, assign=True)
    model.requires_grad_(True)
    return model.eval()


def new_model(config: ModelConfig) -> LanguageModel:
    """A model of that shape, of the family that its configuration belongs to; not initialised."""
    if isinstance(config, SpeedrunConfig):
        return Speedrun(config)
    return LstmModel(config) if isinstance(config, LstmConfig) else Transformer(config)


def require_exportable(folder: Path | str) -> TransformerConfig:
    """The shape of a model that other programs load too; raises GristmillError for others."""
    config = load_config(folder)
    if isinstance(config, SpeedrunConfig):
        raise GristmillError(
            NOT_EXPORTABLE,
            where=folder,
            mend="export a transformer (train lm with architecture: transformer); generate, chat, "
            "score, evaluate and serve work on this one here",
        )
    if isinstance(config, LstmConfig):
        raise GristmillError(
            "an LSTM cannot be exported: no other program loads this architecture",
            where=folder,
            mend="export a transformer (train lm with architecture: transformer); generate, chat, "
            "score, evaluate and serve work on the LSTM here",
        )
    return config


def load_config(folder: Path | str) -> ModelConfig:
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
    if config.get("model_type") == LSTM_TYPE:
        return _lstm_from_json(config, path)
    if config.get("model_type") == SPEEDRUN_TYPE:
        return speedrun_from_json(config, path)
    return config_from_hf(config, path)


def config_to_hf(config: TransformerConfig, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """What transformers 5 reads: `head_dim` stands alone, `rope_theta` in `rope_parameters`.

    Raises GristmillError for a shape that no class of transformers computes.
    """
    switches = (config.qk_norm, config.qkv_bias)
    name = next((name for name, shape in _SHAPES.items() if shape[1:3] == switches), None)
    if name is None:
        raise GristmillError(
            "no model of transformers has both head norms and biases",
            where="model.qkv_bias",
            mend="take one of qk_norm and qkv_bias",
        )
    rope = rope_to_hf(config.rope_theta, config.rope_scaling)
    described = {
        "architectures": [_SHAPES[name][0]],
        "model_type": name,
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
        "rope_parameters": rope,
        # Loaders older than transformers 5 (and llama.cpp's converter) look here.
        "rope_theta": config.rope_theta,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "tie_word_embeddings": config.tied,
        "dtype": str(dtype).removeprefix("torch."),
        "use_cache": True,
    }
    if config.rope_scaling is not None:
        described["rope_scaling"] = {k: v for k, v in rope.items() if k != "rope_theta"}
    return described


def config_from_hf(config: dict[str, Any], where: Path) -> TransformerConfig:
    """The inverse of `config_to_hf`; refuses what the transformer here does not compute."""
    shape = _SHAPES.get(str(config.get("model_type")))
    if shape is None:
        raise GristmillError(
            f"a model of type '{config.get('model_type')}' cannot be loaded",
            where=where,
            mend=f"give one of type {', '.join(sorted(_SHAPES))}",
        )
    # Files of transformers 4 have `rope_theta` and `rope_scaling` instead of `rope_parameters`.
    rope = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    layer_types = set(config.get("layer_types") or ())
    for key, value, only in (
        ("rope_parameters.rope_type", rope_type, ("default", "llama3", "yarn")),
        ("partial_rotary_factor", _partial(config, rope), (1,)),
        ("hidden_act", config.get("hidden_act", "silu"), ("silu",)),
        ("attention_bias", config.get("attention_bias", False), (False,)),
        ("mlp_bias", config.get("mlp_bias", False), (False,)),
        ("use_sliding_window", config.get("use_sliding_window", False), (False,)),
        ("layer_types", ", ".join(sorted(layer_types)), ("", "full_attention")),
        ("quantization_config", config.get("quantization_config"), (None,)),
    ):
        if value not in only:
            wanted = " or ".join(repr(one) for one in only if one != "")
            raise GristmillError(
                f"{key} must be {wanted}, not {value!r}",
                where=where,
                mend="nothing else is computed here: choose another model",
            )
    try:
        heads = int(config["num_attention_heads"])
        width = int(config["hidden_size"])
        return TransformerConfig(
            vocab_size=int(config["vocab_size"]),
            width=width,
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or shape[3] or width // heads),
            mlp_width=int(config["intermediate_size"]),
            context=int(config["max_position_embeddings"]),
            rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
            tied=bool(config.get("tie_word_embeddings", False)),
            norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            qk_norm=shape[1],
            qkv_bias=shape[2],
            rope_scaling=rope_from_hf(rope, rope_type, where),
        )
    except KeyError as error:
        raise GristmillError(f"{error.args[0]} is missing", where=where) from error
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise GristmillError(f"a value has the wrong type: {error}", where=where) from error


def _lstm_to_json(config: LstmConfig, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "architectures": ["GristmillLstm"],
        "model_type": LSTM_TYPE,
        "vocab_size": config.vocab_size,
        "embedding_size": config.width,
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.context,
        "dropout": config.dropout,
        "tie_word_embeddings": config.tied,
        "dtype": str(dtype).removeprefix("torch."),
    }


def _lstm_from_json(config: Mapping[str, Any], where: Path) -> LstmConfig:
    try:
        return LstmConfig(
            vocab_size=int(config["vocab_size"]),
            width=int(config["embedding_size"]),
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            context=int(config["max_position_embeddings"]),
            tied=bool(config["tie_word_embeddings"]),
            dropout=float(config.get("dropout", 0.0)),
        )
    except KeyError as error:
        raise GristmillError(f"{error.args[0]} is missing", where=where) from error
    except (TypeError, ValueError) as error:
        raise GristmillError(f"a value has the wrong type: {error}", where=where) from error


def _partial(config: Mapping[str, Any], rope: Mapping[str, Any]) -> Any:
    found = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    return 1 if found is None else found


def read_tensors(folder: Path, device: torch.device | str) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by name; a sharded one too. Raises GristmillError."""
    files: Iterable[Path] = [folder / WEIGHTS]
    index = folder / f"{WEIGHTS}.index.json"
    if not (folder / WEIGHTS).is_file() and index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        # A name with a folder in it could point outside the checkpoint.
        files = [folder / Path(name).name for name in names]
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise GristmillError(
                "no such weights",
                where=file,
                mend="give a folder with safetensors; pickled weights (.bin, .pt) are never read",
            )
        try:
            with safe_open(file, framework="pt", device=str(device)) as opened:
                names = list(opened.keys())
                # Old Llama files hold a table of rotary frequencies that config.json gives too.
                kept = [name for name in names if not name.endswith("rotary_emb.inv_freq")]
                tensors |= {name: opened.get_tensor(name) for name in kept}
        except SafetensorError as error:
            raise GristmillError(f"not a safetensors file: {error}", where=file) from error
    return tensors


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a language model, by name."""
    with torch.device("meta"):
        model = new_model(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def check_tensors(
    tensors: dict[str, Tensor], expected: dict[str, tuple[int, ...]], where: Path
) -> None:
    """Raises GristmillError that names missing, surplus and misshapen tensors."""
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
