"""Models out of GGUF files: configuration, weights in float32, the tokenizer's metadata.

The format is llama.cpp's (ggml, docs/gguf.md). Quantised tensors are widened to what the file
holds: a 4-bit file gives a 4-bit model in float32. The library `gguf` reads and dequantises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gristmill.core.errors import GristmillError
from gristmill.model.rotary import RopeScaling, Yarn, stretched
from gristmill.model.transformer import TransformerConfig

# architecture: (qk_norm, qkv_bias)
SHAPES = {"llama": (False, False), "qwen2": (False, True), "qwen3": (True, False)}
# Those of llama.cpp's rotation of pairs (2i, 2i + 1), for which rows of q and k were reordered.
INTERLEAVED = ("llama",)
OUTER = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ROPE_FACTORS = "rope_freqs.weight"
# The file keeps Llama 3's scaling as one factor a frequency; these are the scalings in use.
_SCALINGS = tuple(RopeScaling(factor, 1.0, 4.0, 8192) for factor in (8.0, 32.0))


@dataclass(frozen=True)
class GgufTokenizer:
    """`tokenizer.ggml.*` as it stands in the file; tokens spelled in byte-level BPE's alphabet."""

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    add_bos: bool


@dataclass(frozen=True)
class GgufFile:
    """An opened file. `quantisation`: how many tensors are stored in each type."""

    path: Path
    config: TransformerConfig
    architecture: str
    quantisation: dict[str, int]
    tokenizer: GgufTokenizer
    chat_template: str | None
    name: str | None
    licence: str | None
    _tensors: Mapping[str, Any]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every weight under its name in transformers, float32, one after another."""
        for name, stored in self._tensors.items():
            yield _hf_name(name, self.path), self._widened(name, stored)

    def _widened(self, name: str, stored: Any) -> Tensor:
        from gguf.quants import dequantize

        try:
            array = dequantize(stored.data, stored.tensor_type)
            wide = np.array(array, dtype=np.float32).reshape(stored.shape.tolist()[::-1])
            if self.architecture in INTERLEAVED and ".attn_q." in name:
                wide = halves(wide, self.config.heads)
            if self.architecture in INTERLEAVED and ".attn_k." in name:
                wide = halves(wide, self.config.kv_heads)
        except (ValueError, NotImplementedError, KeyError) as error:
            raise GristmillError(
                f"{name} is stored as {stored.tensor_type.name}, which cannot be widened: {error}",
                where=self.path,
                mend="choose a file with another quantisation",
            ) from error
        return torch.from_numpy(np.ascontiguousarray(wide))


def halves(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of q or k for rotation of pairs (2i, 2i + 1) into the order for (i, i + D / 2).

    The inverse of what llama.cpp's converter does to Llama's q_proj and k_proj.
    """
    per_head = rows.shape[0] // heads
    paired = rows.reshape(heads, per_head // 2, 2, *rows.shape[1:])
    return paired.swapaxes(1, 2).reshape(rows.shape)


def open_gguf(path: Path | str) -> GgufFile:
    """Reads everything but the weights, which `tensors` widens one by one.

    Raises GristmillError where the library is missing, and for files that are damaged or hold what
    the transformer here does not compute.
    """
    path = Path(path)
    fields, tensors = _read(path)
    with _metadata_of(path):
        return _described(path, fields, tensors)


def read_gguf_tokenizer(path: Path | str) -> GgufTokenizer:
    """The tokenizer's metadata alone, from a model of any architecture or none. Raises as above."""
    path = Path(path)
    fields, _ = _read(path)
    with _metadata_of(path):
        return _tokenizer(fields)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata and tensors by name."""
    if not path.is_file():
        raise GristmillError("no such file", where=path, mend="check the path")
    with open(path, "rb") as file:
        if file.read(4) != b"GGUF":
            raise GristmillError(
                "not a GGUF file", where=path, mend="give a .gguf file, or a folder of safetensors"
            )
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise GristmillError(
            "reading GGUF files needs the package gguf",
            where=path,
            mend="pip install 'gristmill[gguf]'",
        ) from error
    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        return fields, {tensor.name: tensor for tensor in reader.tensors}
    # The reader checks nothing: whatever a damaged file makes numpy and it raise.
    except Exception as error:
        raise GristmillError(
            f"not a GGUF file that can be read: {error}",
            where=path,
            mend="download it again",
        ) from error


@contextmanager
def _metadata_of(path: Path) -> Iterator[None]:
    """What damaged metadata makes Python raise, in words and with the file's name."""
    try:
        yield
    except GristmillError as error:
        raise GristmillError(error.what, where=path, mend=error.mend) from None
    except KeyError as error:
        raise GristmillError(f"its metadata lacks {error.args[0]}", where=path) from error
    except (TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise GristmillError(f"its metadata is damaged: {error}", where=path) from error


def _described(path: Path, fields: Mapping[str, Any], stored: Mapping[str, Any]) -> GgufFile:
    architecture = fields["general.architecture"]
    if architecture not in SHAPES:
        raise GristmillError(
            f"a model of architecture '{architecture}' cannot be loaded",
            mend=f"give one of {', '.join(sorted(SHAPES))}",
        )
    tensors = dict(stored)
    factors = tensors.pop(ROPE_FACTORS, None)
    config = _config(architecture, fields, tensors)
    if factors is not None:
        scaling = _scaling(config, np.asarray(factors.data, dtype=np.float32))
        config = TransformerConfig(**{**config.__dict__, "rope_scaling": scaling})
    return GgufFile(
        path=path,
        config=config,
        architecture=architecture,
        quantisation=dict(sorted(Counter(t.tensor_type.name for t in tensors.values()).items())),
        tokenizer=_tokenizer(fields),
        chat_template=fields.get("tokenizer.chat_template"),
        name=fields.get("general.name"),
        licence=fields.get("general.license"),
        _tensors=tensors,
    )


def _config(
    architecture: str, fields: Mapping[str, Any], tensors: Mapping[str, Any]
) -> TransformerConfig:
    def of(key: str, default: Any = None) -> Any:
        name = f"{architecture}.{key}"
        return fields[name] if default is None else fields.get(name, default)

    heads, width = int(of("attention.head_count")), int(of("embedding_length"))
    head_dim = int(of("attention.key_length", width // heads))
    for key, value, only in (
        ("expert_count", of("expert_count", 0), 0),
        ("rope.dimension_count", of("rope.dimension_count", head_dim), head_dim),
        ("attention.value_length", of("attention.value_length", head_dim), head_dim),
        ("attention.sliding_window", of("attention.sliding_window", 0), 0),
    ):
        if value != only:
            raise GristmillError(
                f"{architecture}.{key} must be {only!r}, not {value!r}",
                mend="nothing else is computed here: choose another model",
            )
    scaling = of("rope.scaling.type", "none")
    if scaling not in ("none", "yarn"):
        raise GristmillError(
            f"{architecture}.rope.scaling.type must be 'none' or 'yarn', not {scaling!r}",
            mend="nothing else is computed here: choose another model",
        )
    yarn = None
    if scaling == "yarn":
        yarn = Yarn(
            factor=_shortest(of("rope.scaling.factor")),
            original_context=int(of("rope.scaling.original_context_length")),
            fast=_shortest(of("rope.scaling.yarn_beta_fast", 32.0)),
            slow=_shortest(of("rope.scaling.yarn_beta_slow", 1.0)),
        )
    qk_norm, qkv_bias = SHAPES[architecture]
    if "token_embd.weight" not in tensors:
        raise GristmillError("token_embd.weight is missing", mend="download it again")
    return TransformerConfig(
        vocab_size=int(tensors["token_embd.weight"].shape[1]),
        width=width,
        layers=int(of("block_count")),
        heads=heads,
        kv_heads=int(of("attention.head_count_kv", heads)),
        head_dim=head_dim,
        mlp_width=int(of("feed_forward_length")),
        context=int(of("context_length")),
        rope_theta=_shortest(of("rope.freq_base", 10_000.0)),
        tied="output.weight" not in tensors,
        norm_eps=_shortest(of("attention.layer_norm_rms_epsilon")),
        qk_norm=qk_norm,
        qkv_bias=qkv_bias,
        rope_scaling=yarn,
    )


def _shortest(value: float) -> float:
    """The decimal that a float32 was written from: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _scaling(config: TransformerConfig, factors: np.ndarray[Any, Any]) -> RopeScaling:
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    frequency = 1.0 / (config.rope_theta**exponent)
    for scaling in _SCALINGS:
        wanted = (frequency / stretched(frequency, scaling)).numpy()
        if wanted.shape == factors.shape and np.allclose(wanted, factors, rtol=1e-3):
            return scaling
    raise GristmillError(
        "its scaling of rotary positions is not one of Llama 3's",
        mend="give the model as safetensors, where config.json names it",
    )


def _tokenizer(fields: Mapping[str, Any]) -> GgufTokenizer:
    prefix = "tokenizer.ggml."
    tokens = fields[prefix + "tokens"]
    return GgufTokenizer(
        model=fields[prefix + "model"],
        pre=fields.get(prefix + "pre", "default"),
        tokens=tokens,
        types=fields.get(prefix + "token_type", [1] * len(tokens)),
        merges=fields.get(prefix + "merges", []),
        bos_id=fields.get(prefix + "bos_token_id"),
        eos_id=fields.get(prefix + "eos_token_id"),
        pad_id=fields.get(prefix + "padding_token_id"),
        add_bos=bool(fields.get(prefix + "add_bos_token", False)),
    )


def _hf_name(name: str, path: Path) -> str:
    parts = name.split(".")
    if len(parts) == 2 and parts[0] in OUTER:
        return f"{OUTER[parts[0]]}.{parts[1]}"
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in BLOCK:
        return f"model.layers.{parts[1]}.{BLOCK[parts[2]]}.{parts[3]}"
    raise GristmillError(
        f"{name} belongs to no part of the model", where=path, mend="choose another model"
    )
