"""`export hf`: a model as a folder that transformers loads with no custom code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage

if TYPE_CHECKING:
    from torch import Tensor

    from gristmill.tokenizer.tokenizer import Tokenizer

CARD = "README.md"


class ExportHfConfig(StageConfig):
    """How it is written, and where it is copied to."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """The numbers that the weights are stored in; half the size with 16 bits."""
    to: Path | None = local(None)
    """A folder to copy the result to, empty or not there yet."""


@stage(
    "export hf",
    version=1,
    kind="export",
    config=ExportHfConfig,
    inputs={"model": Slot("model")},
    summary="write a model as a folder for transformers, with its chat template and a card",
    example="gristmill export hf --model FOLDER --to my-model",
    uncached=True,
)
def export_hf(config: ExportHfConfig, inputs: Inputs, output: Output) -> None:
    """Weights, configuration, tokenizer, chat template and `README.md`; read back and compared."""
    import torch

    from gristmill.core.canonical import write_text_atomic
    from gristmill.model.weights import load_model, read_tensors, require_exportable, save_folder
    from gristmill.tokenizer.tokenizer import Tokenizer

    source = inputs["model"]
    _check_target(config.to, None)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]
    shape = require_exportable(source.path)
    stored = read_tensors(source.path, "cpu")
    if shape.tied:
        stored.pop("lm_head.weight", None)
    tensors = {name: _cast(name, stored.pop(name), dtype, source.path) for name in sorted(stored)}
    tokenizer = Tokenizer.load(source.path)
    eos_ids = _eos_ids(source.path, tokenizer)
    save_folder(
        output.path,
        shape,
        tensors,
        source.path,
        eos_id=eos_ids,
        pad_id=tokenizer.pad_id,
        bos_id=tokenizer.bos_id,
    )
    parameters = sum(tensor.numel() for tensor in tensors.values())
    write_text_atomic(output.path / CARD, model_card(source, shape, parameters, config.precision))

    again = load_model(output.path).state_dict()
    differing = [name for name, tensor in tensors.items() if not torch.equal(again[name], tensor)]
    if differing or Tokenizer.load(output.path).vocabulary != tokenizer.vocabulary:
        # A defect of ours or of the disk: nothing that the user could mend.
        raise RuntimeError(f"what was written differs from the model: {differing[:3]}")
    if config.to is not None:
        _check_target(config.to, output.path)
        _copy(output.path, config.to)
    output.counts.update(parameters=parameters, tensors=len(tensors))
    output.figures["export.parameters"] = Figure(parameters)
    output.figures["export.bytes"] = Figure(
        sum(path.stat().st_size for path in output.path.iterdir())
    )
    if config.to is not None:
        output.notes.append("Copied; state your licence in README.md before you publish it.")


def model_card(source: Artifact, shape: Any, parameters: int, precision: str) -> str:
    """Markdown: what the model is and what it was made from, without dates or paths."""
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "---",
        "",
        f"# {source.stage} {source.manifest.key[:12]}",
        "",
        f"A causal language model with {parameters:,} parameters: {shape.layers} layers of width "
        f"{shape.width}, {shape.heads} heads on {shape.kv_heads} key-value heads, a vocabulary of "
        f"{shape.vocab_size:,} and a context of {shape.context:,} tokens, stored in {precision}.",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        'model = AutoModelForCausalLM.from_pretrained("FOLDER")',
        "```",
        "",
    ]
    if any((source.path / name).is_file() for name in ("chat_template.jinja", "chat.json")):
        lines += ["It chats: `tokenizer.apply_chat_template(messages)` renders a conversation.", ""]
    lines += [
        "## What it was made from",
        "",
        "| step | kind | key | content |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in lineage(source)]
    imported = source.path / "import.json"
    if imported.is_file():
        from gristmill.core.canonical import read_json

        about = read_json(imported)
        lines += ["", f"Its weights came from `{about.get('source')}` ({about.get('format')})."]
    lines += [
        "",
        "## Licence",
        "",
        "Not stated. It depends on the texts and models above; state it before you publish.",
        "",
    ]
    return "\n".join(lines)


def lineage(artifact: Artifact) -> list[tuple[str, str, str, str]]:
    """(stage, kind, key, content) of an artifact and of all that it was made from, each once.

    What is no longer on this disk is listed too; only what lay behind it is not known.
    """
    rows: dict[str, tuple[str, str, str, str]] = {}

    def add(stage: str, kind: str, key: str, content: str) -> bool:
        new = key not in rows
        rows.setdefault(key, (stage, kind, key[:12], content[:12]))
        return new

    def walk(one: Artifact) -> None:
        for refs in one.manifest.inputs.values():
            for ref in refs:
                if not add(ref.stage, ref.kind, ref.key, ref.content):
                    continue
                try:
                    found = one.resolve(ref)
                except GristmillError:
                    continue
                walk(found)

    add(artifact.stage, artifact.kind, artifact.manifest.key, artifact.content)
    walk(artifact)
    return list(rows.values())


def _cast(name: str, tensor: Tensor, dtype: Any, where: Path) -> Tensor:
    cast = tensor.to(dtype)
    if bool(tensor.isfinite().all()) and not bool(cast.isfinite().all()):
        raise GristmillError(
            f"{name} holds numbers beyond the range of fp16", where=where, mend="take bf16"
        )
    return cast


def _eos_ids(folder: Path, tokenizer: Tokenizer) -> list[int]:
    """What ends generation: a turn's end first where the model chats, then a document's."""
    from gristmill.core.canonical import read_json
    from gristmill.tokenizer.chat import ChatFormat

    found: list[int] = []
    if (folder / "chat.json").is_file():
        found += ChatFormat.load(folder, tokenizer).stop_ids
    path = folder / "generation_config.json"
    stops = read_json(path).get("eos_token_id") if path.is_file() else None
    found += stops if isinstance(stops, list) else [] if stops is None else [stops]
    found += [tokenizer.eos_id, tokenizer.eot_id]
    return list(dict.fromkeys(found))


def _check_target(to: Path | None, written: Path | None) -> None:
    """Raises GristmillError unless the folder is absent, empty or holds what is to be written."""
    if to is None or not to.exists():
        return
    if not to.is_dir():
        raise GristmillError("not a folder", where=to, mend="give another with --to")
    there = {path.name for path in to.iterdir()}
    if there and (written is None or not _same(written, to)) and not _ours(to, there, written):
        raise GristmillError(
            "the folder is not empty", where=to, mend="give an empty one, or one that is not there"
        )


def _ours(to: Path, there: set[str], written: Path | None) -> bool:
    """Before writing: whether it may be an earlier export, which is compared file by file after."""
    return written is None and CARD in there and (to / "model.safetensors").is_file()


def _same(written: Path, to: Path) -> bool:
    from gristmill.core.canonical import hash_file

    ours = {p.name: hash_file(p) for p in written.iterdir() if p.is_file()}
    theirs = {p.name: hash_file(p) if p.is_file() else "" for p in to.iterdir()}
    return ours == theirs


def _copy(folder: Path, to: Path) -> None:
    """Copies beside `to` first, so that it is there whole or not at all."""
    import os
    import shutil

    if to.is_dir():
        if any(to.iterdir()):  # the same files, by _check_target
            return
        to.rmdir()
    temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(folder, temporary)
        temporary.rename(to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
