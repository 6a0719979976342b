"""`export gguf`: a model as one file that llama.cpp and what is built on it run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, local, stage

if TYPE_CHECKING:
    from torch import Tensor

    from gristmill.model.gguf import GgufTokenizer
    from gristmill.model.transformer import TransformerConfig
    from gristmill.tokenizer.tokenizer import Tokenizer

FILE = "model.gguf"
# What rounding may cost of a tensor's root mean square; q8_0 keeps 8 bits, f16 has 11.
_MOST_ERROR = {"f32": 0.0, "f16": 1e-3, "q8_0": 2e-2}


class ExportGgufConfig(StageConfig):
    """How it is written, and where it is copied to."""

    stored: Literal["f32", "f16", "q8_0"] = "f16"
    """The numbers of the matrices: 32, 16 or 8.5 bits each. Vectors are float32 always."""
    to: Path | None = local(None)
    """A file to copy the result to, such as my-model.gguf; it may not be there yet."""


@stage(
    "export gguf",
    version=1,
    kind="export",
    config=ExportGgufConfig,
    inputs={"model": Slot("model")},
    summary="write a model as one file for llama.cpp, with its tokenizer and chat template",
    example="gristmill export gguf --model FOLDER --stored q8_0 --to my-model.gguf",
    uncached=True,
)
def export_gguf(config: ExportGgufConfig, inputs: Inputs, output: Output) -> None:
    """`model.gguf`, read back and compared. Figures: `export.bytes`, `export.error` (the largest
    root mean square of rounding of a tensor, as a share of that of its numbers)."""
    from gristmill.core.progress import progress
    from gristmill.model.gguf import open_gguf
    from gristmill.model.gguf_writer import write_gguf
    from gristmill.model.weights import read_tensors, require_exportable
    from gristmill.tokenizer.gguf import gguf_note
    from gristmill.tokenizer.tokenizer import Tokenizer

    source = inputs["model"]
    if config.to is not None and config.to.exists():
        raise GristmillError("is there already", where=config.to, mend="give another with --to")
    shape = require_exportable(source.path)
    tensors = read_tensors(source.path, "cpu")
    if shape.tied:
        tensors.pop("lm_head.weight", None)
    tokenizer = Tokenizer.load(source.path)
    described, end_of_turn = _tokenizer(tokenizer, source.path, shape.vocab_size)
    bar = progress("export gguf", float(len(tensors)), "tensors")
    try:
        counts = write_gguf(
            output.path / FILE,
            shape,
            tensors,
            described,
            stored=config.stored,
            name=f"{source.stage} {source.manifest.key[:12]}",
            chat_template=_template(source.path),
            end_of_turn_id=end_of_turn,
            about={"key": source.manifest.key, "content": source.content},
            bar=bar,
        )
    finally:
        bar.close()

    written = open_gguf(output.path / FILE)
    error = _error(tensors, dict(written.tensors()))
    if written.config != _as_written(shape) or error > _MOST_ERROR[config.stored]:
        # A defect of ours or of the disk: nothing that the user could mend.
        raise RuntimeError(f"what was written differs from the model: {error}, {written.config}")
    if config.to is not None:
        _copy(output.path / FILE, config.to)
    output.counts["parameters"] = sum(tensor.numel() for tensor in tensors.values())
    output.counts["tensors"] = len(tensors)
    output.figures["export.bytes"] = Figure((output.path / FILE).stat().st_size)
    output.figures["export.error"] = Figure(error)
    types = ", ".join(f"{n} in {kind}" for kind, n in sorted(counts.items()))
    copied = "" if config.to is None else f", and {config.to}"
    output.notes.append(f"Tensors: {types}. The file is {FILE} in the artifact's folder{copied}.")
    if note := gguf_note(tokenizer.vocabulary):
        output.notes.append(note)
    if config.stored == "q8_0" and counts.get("f16"):
        output.notes.append(
            f"{counts['f16']} matrices are in f16: 32 does not divide the length of their rows."
        )


def _tokenizer(tokenizer: Tokenizer, folder: Path, rows: int) -> tuple[GgufTokenizer, int | None]:
    """The metadata, and the id that ends a turn where the model chats.

    A model of ours has met every document behind an end-of-text, so llama.cpp is told to begin
    with one, as `generate` does; a chat template that writes it itself is not given a second.
    """
    from gristmill.model.gguf import GgufTokenizer
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.foreign import with_rows
    from gristmill.tokenizer.gguf import gguf_metadata

    vocabulary = with_rows(tokenizer.vocabulary, rows)
    foreign = (folder / "import.json").is_file()
    end_of_turn = None
    if (folder / "chat.json").is_file():
        end_of_turn = ChatFormat.load(folder, tokenizer).end_id
    first = tokenizer.bos_id if foreign else tokenizer.eot_id
    return (
        GgufTokenizer(
            **gguf_metadata(vocabulary),
            bos_id=first,
            eos_id=tokenizer.eos_id if end_of_turn is None else end_of_turn,
            pad_id=tokenizer.pad_id,
            add_bos=first is not None,
        ),
        end_of_turn,
    )


def _template(folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _error(tensors: dict[str, Tensor], again: dict[str, Tensor]) -> float:
    if tensors.keys() != again.keys():
        raise RuntimeError(f"tensors were lost: {sorted(tensors.keys() ^ again.keys())[:3]}")
    found = 0.0
    for name, tensor in tensors.items():
        wanted = tensor.float()
        size = float(wanted.square().mean().sqrt())
        missed = float((again[name] - wanted).square().mean().sqrt())
        found = max(found, missed / size if size else missed)
    return found


def _as_written(shape: TransformerConfig) -> Any:
    """The shape with its two reals as float32 keeps them."""
    from dataclasses import replace

    import numpy as np

    theta, epsilon = (float(str(np.float32(x))) for x in (shape.rope_theta, shape.norm_eps))
    return replace(shape, rope_theta=theta, norm_eps=epsilon)


def _copy(file: Path, to: Path) -> None:
    """Copies beside `to` first, so that it is there whole or not at all."""
    import os
    import shutil

    temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(file, temporary)
        temporary.rename(to)
    finally:
        temporary.unlink(missing_ok=True)
