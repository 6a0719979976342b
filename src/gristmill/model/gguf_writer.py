"""Models into GGUF files that llama.cpp runs, in f32, f16 or q8_0.

Names, order of rows and metadata are those that llama.cpp's own converter gives (ggml,
docs/gguf.md). Vectors stay in float32, as there; q8_0 holds 32 numbers of a row in 8 bits each with
one float16 scale, and a matrix whose rows 32 does not divide is kept in f16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress, Silent
from gristmill.model.gguf import BLOCK, INTERLEAVED, OUTER, ROPE_FACTORS, SHAPES, GgufTokenizer
from gristmill.model.rotary import RopeScaling, Yarn, stretched
from gristmill.model.transformer import TransformerConfig

Stored = Literal["f32", "f16", "q8_0"]
_BLOCK_OF_Q8 = 32
_LARGEST_F16 = 65_504.0


def write_gguf(
    path: Path,
    config: TransformerConfig,
    tensors: Mapping[str, Tensor],
    tokenizer: GgufTokenizer,
    *,
    stored: Stored = "f16",
    name: str = "",
    chat_template: str | None = None,
    end_of_turn_id: int | None = None,
    about: Mapping[str, str] | None = None,
    bar: Progress | None = None,
) -> dict[str, int]:
    """Writes one file and returns how many tensors were stored in each type.

    tensors: by their names in transformers. about: more metadata, written under `gristmill.`.
    Raises GristmillError for a shape that llama.cpp has no architecture for, and where a number is
    beyond the range of float16.
    """
    import gguf

    bar = bar or Silent()
    switches = (config.qk_norm, config.qkv_bias)
    # Without head norms and biases it is Llama's, with one of them Qwen's.
    architecture = next((one for one, shape in SHAPES.items() if shape == switches), None)
    if architecture is None:
        raise GristmillError(
            "llama.cpp has no model with both head norms and biases", where="model.qkv_bias"
        )
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    for key, value in (about or {}).items():
        writer.add_string(f"gristmill.{key}", value)
    _describe(writer, config)
    _describe_tokenizer(writer, tokenizer, chat_template, end_of_turn_id)
    file_types = {
        "f32": gguf.LlamaFileType.ALL_F32,
        "f16": gguf.LlamaFileType.MOSTLY_F16,
        "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    }
    writer.add_file_type(int(file_types[stored]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    counts: dict[str, int] = {}
    for ours, array in _arrays(config, tensors, architecture):
        kind = _type_of(array, stored)
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "f16" and not np.abs(array).max() <= _LARGEST_F16:
            raise GristmillError(
                f"{ours} holds numbers beyond the range of f16", where=path, mend="take f32 or q8_0"
            )
        quantised = gguf.GGMLQuantizationType[kind.upper()]
        writer.add_tensor(ours, gguf.quants.quantize(array, quantised), raw_dtype=quantised)
        bar.advance()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return counts


def pairs(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of q or k from rotation of (i, i + D / 2) to that of pairs (2i, 2i + 1); the inverse of
    `gristmill.model.gguf.halves`."""
    per_head = rows.shape[0] // heads
    halved = rows.reshape(heads, 2, per_head // 2, *rows.shape[1:])
    return halved.swapaxes(1, 2).reshape(rows.shape)


def _describe(writer: Any, config: TransformerConfig) -> None:
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.mlp_width)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    yarn = config.rope_scaling
    if isinstance(yarn, Yarn):
        import gguf

        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(yarn.factor)
        writer.add_rope_scaling_orig_ctx_len(yarn.original_context)
        writer.add_rope_scaling_yarn_beta_fast(yarn.fast)
        writer.add_rope_scaling_yarn_beta_slow(yarn.slow)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _describe_tokenizer(
    writer: Any, tokenizer: GgufTokenizer, chat_template: str | None, end_of_turn_id: int | None
) -> None:
    writer.add_tokenizer_model(tokenizer.model)
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    writer.add_token_merges(tokenizer.merges)
    for add, token_id in (
        (writer.add_bos_token_id, tokenizer.bos_id),
        (writer.add_eos_token_id, tokenizer.eos_id),
        (writer.add_pad_token_id, tokenizer.pad_id),
        (writer.add_eot_token_id, end_of_turn_id),
    ):
        if token_id is not None:
            add(token_id)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_space_prefix(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)


def _arrays(
    config: TransformerConfig, tensors: Mapping[str, Tensor], architecture: str
) -> Iterable[tuple[str, np.ndarray[Any, Any]]]:
    """Every tensor under llama.cpp's name, float32."""
    outer = {theirs: ours for ours, theirs in OUTER.items()}
    block = {theirs: ours for ours, theirs in BLOCK.items()}
    if isinstance(config.rope_scaling, RopeScaling):
        exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        frequency = 1.0 / (config.rope_theta**exponent)
        yield ROPE_FACTORS, (frequency / stretched(frequency, config.rope_scaling)).numpy()
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().float().numpy()
        stem, kind = name.rsplit(".", 1)
        if stem in outer:
            yield f"{outer[stem]}.{kind}", array
            continue
        _, _, number, part = stem.split(".", 3)
        if architecture in INTERLEAVED and part == "self_attn.q_proj":
            array = pairs(array, config.heads)
        if architecture in INTERLEAVED and part == "self_attn.k_proj":
            array = pairs(array, config.kv_heads)
        yield f"blk.{number}.{block[part]}.{kind}", np.ascontiguousarray(array)


def _type_of(array: np.ndarray[Any, Any], stored: Stored) -> str:
    if array.ndim < 2 or stored == "f32":
        return "f32"
    return "f16" if stored == "q8_0" and array.shape[-1] % _BLOCK_OF_Q8 else stored
