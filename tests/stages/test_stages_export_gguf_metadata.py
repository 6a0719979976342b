"""What an exported GGUF file says of tokens that begin, end and separate."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import save_model
from gristmill.stages.export_gguf import FILE, ExportGgufConfig, export_gguf
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat
from gristmill.tokenizer.gguf import gguf_metadata
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges

gguf = pytest.importorskip("gguf")

TOKENIZER = Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))


def metadata(
    folder: Path, seal: Callable[[Path, str, str], Artifact], *, chat: bool, imported: bool = False
) -> dict[str, Any]:
    """The scalars under `tokenizer.` of a tiny model's export."""
    TOKENIZER.save(folder / "model")
    model = Transformer(
        TransformerConfig(
            TOKENIZER.vocab_size, width=16, layers=1, heads=1, kv_heads=1, head_dim=16,
            mlp_width=16, context=32,
        )
    )  # fmt: skip
    model.init_weights(0)
    save_model(folder / "model", model, folder / "model")
    if chat:
        ChatFormat.native(TOKENIZER).save(folder / "model")
    if imported:
        (folder / "model" / "import.json").write_text("{}", encoding="utf-8")
    source = seal(folder / "model", "model", "train.sft")
    made = export_gguf.run(ExportGgufConfig(), {"model": source}, Workspace.at(folder / "w"))
    fields = gguf.GGUFReader(made.path / FILE).fields
    return {
        name.removeprefix("tokenizer.").removeprefix("ggml."): field.contents()
        for name, field in fields.items()
        if name.startswith("tokenizer.")
    }


def test_an_assistant_ends_its_turn_and_begins_as_it_was_trained(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    found = metadata(tmp_path, seal, chat=True)
    end = ChatFormat.native(TOKENIZER).end_id
    assert end != TOKENIZER.eot_id
    assert found["eos_token_id"] == found["eot_token_id"] == end
    assert found["bos_token_id"] == TOKENIZER.eot_id and found["add_bos_token"] is True
    assert found["add_space_prefix"] is False
    assert "<|im_start|>" in found["chat_template"]


def test_a_base_model_ends_with_its_document(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    found = metadata(tmp_path, seal, chat=False)
    assert found["eos_token_id"] == TOKENIZER.eos_id
    assert "eot_token_id" not in found and "chat_template" not in found


def test_a_model_from_elsewhere_begins_as_it_always_did(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    assert TOKENIZER.bos_id is None
    found = metadata(tmp_path, seal, chat=False, imported=True)
    assert "bos_token_id" not in found and found["add_bos_token"] is False


def test_a_normalizer_that_llama_cpp_has_not_is_refused() -> None:
    vocabulary = dataclasses.replace(TOKENIZER.vocabulary, normalizer="NFC")
    with pytest.raises(GristmillError, match="does not bring text to NFC"):
        gguf_metadata(vocabulary)
    # That of Qwen has it.
    qwen = dataclasses.replace(vocabulary, pattern="qwen")
    assert gguf_metadata(qwen)["pre"] == "qwen2"
