"""`import`: someone else's model as an artifact of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.stage import Inputs, Output, StageConfig, content_of, stage

if TYPE_CHECKING:
    from torch import Tensor

    from gristmill.model.weights import ModelConfig
    from gristmill.tokenizer.vocabulary import Vocabulary

IMPORT = "import.json"
TEMPLATE, CHAT = "chat_template.jinja", "chat.json"


class ImportModelConfig(StageConfig):
    """What is read."""

    path: Path = content_of()
    """A folder with config.json, safetensors and tokenizer.json, or a .gguf file."""
    format: Literal["auto", "hf", "gguf"] = "auto"
    """auto: a folder is hf, a file is gguf."""


@stage(
    "import",
    version=1,
    kind="model",
    config=ImportModelConfig,
    inputs={},
    summary="take a Llama, Qwen2 or Qwen3 model of someone else's, to go on from",
    example="gristmill import --path SmolLM2-135M-Instruct.Q4_1.gguf",
)
def import_model(config: ImportModelConfig, inputs: Inputs, output: Output) -> None:
    """A model folder in float32 that this program and transformers load, and `import.json`."""
    from gristmill.core.canonical import write_json, write_text_atomic
    from gristmill.model.weights import check_tensors, expected_shapes, save_folder
    from gristmill.tokenizer.foreign import with_rows
    from gristmill.tokenizer.tokenizer import Tokenizer

    kind = config.format
    if kind == "auto":
        kind = "hf" if config.path.is_dir() else "gguf"
    read = _read_hf if kind == "hf" else _read_gguf
    found = read(config.path)
    check_tensors(found.tensors, expected_shapes(found.shape), config.path)
    rows, tokens = found.shape.vocab_size, len(found.vocabulary.tokens)
    if tokens > rows:
        raise GristmillError(
            f"the tokenizer has {tokens:,} tokens and the model {rows:,} rows",
            where=config.path,
            mend="take the tokenizer that belongs to the model",
        )
    tokenizer = Tokenizer(with_rows(found.vocabulary, rows))
    tokenizer.save(output.path)
    if found.chat_template:
        write_text_atomic(output.path / TEMPLATE, found.chat_template)
    layout = config.path / CHAT
    if kind == "hf" and layout.is_file():  # one of ours, that went out and comes back
        write_text_atomic(output.path / CHAT, layout.read_text(encoding="utf-8"))
    ends = sorted({*found.eos_ids, tokenizer.eos_id, tokenizer.eot_id} - {tokenizer.eos_id})
    save_folder(
        output.path,
        found.shape,
        found.tensors,
        eos_id=[tokenizer.eos_id, *ends],
        pad_id=tokenizer.pad_id,
        bos_id=tokenizer.bos_id,
    )
    parameters = sum(tensor.numel() for tensor in found.tensors.values())
    missing = found.vocabulary.missing_bytes
    write_json(
        output.path / IMPORT,
        {
            "source": config.path.name,
            "format": kind,
            **found.about,
            "parameters": parameters,
            "rows": rows,
            "tokens": tokens,
            "pretokenizer": found.vocabulary.pattern,
            "end_of_text": found.vocabulary.end_of_text,
            "eos_token": found.vocabulary.eos,
            "pad_token": tokenizer.pad_token,
            "pad_token_of_the_source": found.vocabulary.pad,
            "bytes_without_token": missing,
        },
    )
    output.counts.update(parameters=parameters, vocab_size=rows, tensors=len(found.tensors))
    output.figures["import.parameters"] = Figure(parameters)
    if tokenizer.pad_token != found.vocabulary.pad and found.vocabulary.pad is not None:
        output.notes.append(
            f"The source pads with {found.vocabulary.pad}, which also ends a text or a turn: "
            f"masked as padding it would never be learnt. Here {tokenizer.pad_token} pads."
        )
    if missing:
        output.notes.append(
            f"{len(missing)} of the 256 bytes have no token in this vocabulary; encoding leaves "
            "them out, as the model's own tokenizer does."
        )
    if found.about.get("quantisation"):
        types = ", ".join(f"{n} {name}" for name, n in found.about["quantisation"].items())
        output.notes.append(f"The tensors of the source are {types}: float32 of that, no more.")


class _Found:
    """What either format gives."""

    def __init__(
        self,
        shape: ModelConfig,
        tensors: dict[str, Tensor],
        vocabulary: Vocabulary,
        chat_template: str | None,
        eos_ids: list[int],
        about: dict[str, Any],
    ):
        self.shape, self.tensors, self.vocabulary = shape, tensors, vocabulary
        self.chat_template, self.eos_ids, self.about = chat_template, eos_ids, about


def _read_gguf(path: Path) -> _Found:
    from gristmill.core.progress import progress
    from gristmill.model.gguf import open_gguf
    from gristmill.tokenizer.foreign import gguf_vocabulary

    opened = open_gguf(path)
    tokenizer = opened.tokenizer
    try:
        vocabulary = gguf_vocabulary(
            model=tokenizer.model,
            pre=tokenizer.pre,
            tokens=tokenizer.tokens,
            types=tokenizer.types,
            merges=tokenizer.merges,
            bos_id=tokenizer.bos_id,
            eos_id=tokenizer.eos_id,
            pad_id=tokenizer.pad_id,
            add_bos=tokenizer.add_bos,
        )
    except GristmillError as error:
        raise GristmillError(error.what, where=path, mend=error.mend) from None
    tensors = {}
    bar = progress("import", float(sum(opened.quantisation.values())), "tensors")
    try:
        for name, tensor in opened.tensors():
            tensors[name] = tensor
            bar.advance(1)
    finally:
        bar.close()
    about = {
        "architecture": opened.architecture,
        "quantisation": opened.quantisation,
        "name": opened.name,
        "licence": opened.licence,
    }
    return _Found(opened.config, tensors, vocabulary, opened.chat_template, [], about)


def _read_hf(path: Path) -> _Found:
    import torch

    from gristmill.model.weights import load_config, read_tensors
    from gristmill.tokenizer.formats import read_tokenizer

    shape = load_config(path)
    vocabulary = read_tokenizer(path)
    stored = read_tensors(path, "cpu")
    if shape.tied:
        stored.pop("lm_head.weight", None)
    precisions = sorted({str(t.dtype).removeprefix("torch.") for t in stored.values()})
    tensors = {name: stored.pop(name).to(torch.float32) for name in sorted(stored)}
    config = _json(path / "config.json")
    about = {
        "architecture": config.get("model_type"),
        "precision": ", ".join(precisions),
        "name": config.get("_name_or_path") or None,
    }
    stops = _json(path / "generation_config.json").get("eos_token_id", config.get("eos_token_id"))
    eos_ids = [i for i in (stops if isinstance(stops, list) else [stops]) if isinstance(i, int)]
    return _Found(shape, tensors, vocabulary, _template(path), eos_ids, about)


def _template(folder: Path) -> str | None:
    """The chat template, a file of its own or in tokenizer_config.json; of several the default."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    found = _json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):
        named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    from gristmill.core.canonical import read_json

    try:
        value = read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise GristmillError(f"not JSON: {error}", where=path) from error
    return value if isinstance(value, dict) else {}
