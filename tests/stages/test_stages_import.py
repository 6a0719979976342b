"""`import` and `export hf`: someone else's model in, ours out, and transformers reads both."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import decoders, pre_tokenizers

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model, save_model
from gristmill.stages.export_hf import ExportHfConfig, export_hf
from gristmill.stages.import_model import ImportModelConfig, import_model
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

transformers = pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"]
TEXTS = ["The mill grinds 12 sacks of grain; it's fine.", "Water turns the wheel 365 days."] * 3
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHAT = [{"role": "user", "content": "How many sacks?"}]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama in bfloat16 with SmolLM2's kind of tokenizer, as transformers saves them."""
    folder = tmp_path_factory.mktemp("foreign")
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    bpe.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(3)
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=328,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            eos_token_id=[2],
            bos_token_id=1,
            pad_token_id=2,
        )
    )
    llama.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.at(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def imported(foreign: Path, workspace: Workspace) -> Artifact:
    return import_model.run(ImportModelConfig(path=foreign), {}, workspace)


def difference(folder: Path, tokens: torch.Tensor, other: Path) -> float:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ours = load_model(other, dtype=torch.float32)
    with torch.no_grad():
        return float((theirs(tokens).logits - ours.head(ours(tokens))).abs().max())


def test_a_folder_of_someone_elses_becomes_ours(foreign: Path, imported: Artifact) -> None:
    assert imported.kind == "model"
    tokenizer = Tokenizer.load(imported.path)
    theirs = transformers.AutoTokenizer.from_pretrained(foreign)
    written = transformers.AutoTokenizer.from_pretrained(imported.path)
    for text in [*TEXTS, "12  345\n\n6 x", "é<|im_end|>"]:
        wanted = theirs(text, split_special_tokens=True).input_ids
        assert tokenizer.encode(text) == wanted
        assert written(text, split_special_tokens=True).input_ids == wanted
    tokens = torch.tensor([theirs(TEXTS[0]).input_ids])
    assert difference(foreign, tokens, imported.path) < 1e-5
    assert difference(imported.path, tokens, imported.path) < 1e-5
    assert {p.dtype for p in load_model(imported.path).parameters()} == {torch.float32}


def test_what_is_written_about_it(foreign: Path, imported: Artifact) -> None:
    about = imported.read_json("import.json")
    assert (about["format"], about["architecture"]) == ("hf", "llama")
    assert (about["precision"], about["rows"], about["tokens"]) == ("bfloat16", 328, 328)
    assert (about["pad_token_of_the_source"], about["pad_token"]) == ("<|im_end|>", "<repo_name>")
    assert (about["end_of_text"], about["eos_token"]) == ("<|endoftext|>", "<|im_end|>")
    assert imported.manifest.counts["parameters"] == load_model(imported.path).num_parameters()
    generation = imported.read_json("generation_config.json")
    assert generation == {"eos_token_id": [2, 0], "pad_token_id": 3}
    written = transformers.AutoTokenizer.from_pretrained(imported.path)
    assert written.pad_token_id == 3 and written.eos_token_id == 2
    theirs = transformers.AutoTokenizer.from_pretrained(foreign)
    chat = theirs.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False)
    assert written.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False) == chat
    assert chat.endswith("<|im_start|>assistant\n")
    notes = json.loads((imported.path / "presentation.json").read_text(encoding="utf-8"))["notes"]
    assert "never be learnt" in notes[0]


def test_the_same_files_are_imported_once_and_others_anew(
    foreign: Path, imported: Artifact, workspace: Workspace
) -> None:
    again = import_model.run(ImportModelConfig(path=foreign), {}, workspace)
    assert again.path == imported.path
    fresh = Workspace.at(workspace.path.parent / "fresh")
    other = import_model.run(ImportModelConfig(path=foreign), {}, fresh)
    assert other.content == imported.content and other.path != imported.path


def test_a_gguf_file_gives_the_same_model(
    imported: Artifact, workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, imported.path)
    found = import_model.run(ImportModelConfig(path=path), {}, workspace)
    about = found.read_json("import.json")
    assert (about["format"], about["quantisation"], about["rows"]) == ("gguf", {"F32": 20}, 328)
    assert about["licence"] == "apache-2.0"
    for name in ("model.safetensors", "config.json", "chat_template.jinja"):
        assert (found.path / name).read_bytes() == (imported.path / name).read_bytes(), name
    ours, theirs = Tokenizer.load(found.path), Tokenizer.load(imported.path)
    assert ours.vocabulary == theirs.vocabulary


def write_gguf(path: Path, folder: Path) -> None:
    model, vocabulary = load_model(folder), Tokenizer.load(folder).vocabulary
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_license("apache-2.0")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.mlp_width)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    spelled = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = {i: word for word, i in spelled["model"]["vocab"].items()}
    special = set(vocabulary.special_tokens.values())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([vocab.get(i, f"[PAD{i}]") for i in range(config.vocab_size)])
    writer.add_token_types(
        [3 if i in special else 1 if i in vocab else 5 for i in range(config.vocab_size)]
    )
    writer.add_token_merges([" ".join(pair) for pair in spelled["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.layers)
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.heads if "q_proj" in name else config.kv_heads
            halves = array.reshape(heads, 2, config.head_dim // 2, -1)
            array = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(array.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_export_is_read_by_transformers(
    imported: Artifact, workspace: Workspace, tmp_path: Path, precision: Any
) -> None:
    to = tmp_path / "out" / "model"
    config = ExportHfConfig(precision=precision, to=to)
    made = export_hf.run(config, {"model": imported}, workspace)
    assert made.kind == "export"
    theirs = transformers.AutoModelForCausalLM.from_pretrained(to)
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert theirs.dtype == kinds[precision]
    assert theirs.generation_config.eos_token_id == [2, 0]
    tokenizer = transformers.AutoTokenizer.from_pretrained(to)
    assert tokenizer.pad_token_id == theirs.generation_config.pad_token_id == 3
    chat = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, tokenize=False)
    assert chat == "<|im_start|>user\nHow many sacks?<|im_end|>\n<|im_start|>assistant\n"
    tokens = torch.tensor([tokenizer(TEXTS[0]).input_ids])
    assert difference(to, tokens, made.path) < 1e-5
    if precision != "fp16":  # the weights were bfloat16 before they were widened
        assert difference(to, tokens, imported.path) < 1e-5
    there = sorted(path.name for path in to.iterdir())
    assert there == sorted(made.manifest.files.keys() - {"presentation.json"})
    # Again to the same place: nothing to do. Something else there: nothing is touched.
    export_hf.run(config, {"model": imported}, workspace)
    (to / "mine.txt").write_text("mine")
    with pytest.raises(GristmillError, match="not empty"):
        export_hf.run(config, {"model": imported}, workspace)


def test_the_card_says_what_it_was_made_from(imported: Artifact, workspace: Workspace) -> None:
    made = export_hf.run(ExportHfConfig(), {"model": imported}, workspace)
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert f"| import | model | {imported.manifest.key[:12]} | {imported.content[:12]} |" in card
    assert f"{imported.manifest.counts['parameters']:,} parameters" in card
    assert "Licence" in card and str(workspace.path) not in card


def test_a_model_of_ours_is_exported_with_its_chat(workspace: Workspace, tmp_path: Path) -> None:
    from gristmill.tokenizer.chat import ChatFormat

    tokenizer = train_tokenizer(TEXTS, 300)
    tokenizer.save(tmp_path)
    model = Transformer(TransformerConfig(300, 32, 2, 2, 1, 16, 48, 64))
    model.init_weights(0)
    save_model(tmp_path, model)
    ChatFormat.native(tokenizer).save(tmp_path)
    source = import_model.run(ImportModelConfig(path=tmp_path), {}, workspace)
    assert Tokenizer.load(source.path).vocabulary.tokens == tokenizer.vocabulary.tokens
    assert source.read_json("config.json")["model_type"] == "qwen3"
    assert torch.equal(load_model(source.path).head_weight, model.head_weight)
    made = export_hf.run(ExportHfConfig(), {"model": source}, workspace)
    assert (made.path / "chat.json").read_bytes() == (tmp_path / "chat.json").read_bytes()
    stops = ChatFormat.load(made.path, Tokenizer.load(made.path)).stop_ids
    assert made.read_json("generation_config.json")["eos_token_id"] == list(stops)


def test_numbers_too_large_for_fp16_are_refused(
    imported: Artifact, workspace: Workspace, tmp_path: Path
) -> None:
    model = load_model(imported.path)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 1e6
    save_model(tmp_path, model, imported.path)
    source = import_model.run(ImportModelConfig(path=tmp_path), {}, workspace)
    with pytest.raises(GristmillError, match=r"up_proj.weight holds numbers .* take bf16"):
        export_hf.run(ExportHfConfig(precision="fp16"), {"model": source}, workspace)


def test_what_cannot_be_imported_is_said(
    foreign: Path, workspace: Workspace, tmp_path: Path
) -> None:
    def refused(path: Path, message: str, kind: Any = "auto") -> None:
        with pytest.raises(GristmillError, match=message):
            import_model.run(ImportModelConfig(path=path, format=kind), {}, workspace)

    refused(tmp_path / "nowhere", "no such file")
    refused(tmp_path, "not a model folder")
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    refused(tmp_path / "x.gguf", "not a GGUF file")
    refused(foreign, "no such file", "gguf")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((foreign / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    refused(tmp_path, "pickled weights .* are never read")
    (tmp_path / "model.safetensors").write_bytes((foreign / "model.safetensors").read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 300}))
    refused(tmp_path, r"embed_tokens.weight is \(328, 48\), not \(300, 48\)")
