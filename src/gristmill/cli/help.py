"""The `--help` of a verb, from the fields of its config."""

from __future__ import annotations

import textwrap
import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gristmill.stages.stage import Stage

WIDTH = 80

FRAME = [
    ("--workspace DIR", "where artifacts are found and made"),
    ("--as LABEL", "call the result STAGE@LABEL there, beside an earlier one"),
    ("--config FILE", "settings of this verb as YAML; flags go before it"),
    ("--seed N", "the seed of all that is random (0)"),
    ("--workers N", "processes for the data stages (the number of cores)"),
    ("--device NAME", "auto, cpu, cuda or mps"),
    ("--engine NAME", "ray: data extract to mix on a Ray cluster (local)"),
    ("--address PLACE", "the Ray cluster's, such as HOST:6379 (this machine's)"),
    ("--dry-run", "check everything and say what would be done"),
    ("--json", "print the result as one JSON object"),
]


def stage_help(stage: Stage[Any]) -> str:
    """Usage, inputs, settings with types and defaults, and an example."""
    lines = [f"gristmill {stage.verb} [flags]", "", *textwrap.wrap(stage.summary, WIDTH), ""]
    if stage.inputs:
        lines.append("inputs: folders of artifacts, or names in the workspace such as train.sft;")
        lines.append("without them the newest in the workspace that the verb did not make")
        for name, slot in stage.inputs.items():
            optional = ", optional" if slot.optional else ""
            kinds = " or ".join(slot.kinds) or "any artifact"
            lines += _entry(f"--{name} FOLDER", f"{slot.help or kinds}{optional}")
        lines.append("")
    if stage.config.model_fields:
        lines += [*_settings(stage.config), ""]
    lines.append("how to work")
    for flag, text in FRAME:
        lines += _entry(flag, text)
    lines += ["", "example"]
    for line in stage.example.splitlines():
        lines += _command_lines(line)
    return "\n".join(lines)


def _settings(model: type[BaseModel]) -> list[str]:
    """A line or more for each field; those of a group below what the group is, and of a group like
    one before without saying all again."""
    lines = ["settings"]
    of_group: dict[Any, str] = {}
    groups = {
        name: info.annotation
        for name, info in model.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }
    for name in model.model_fields:
        if name not in groups:
            for flag, text in config_entries(model, only=name):
                lines += _entry(flag, text)
    for name, group in groups.items():
        said = " ".join((group.__doc__ or "").partition("\n\n")[0].split())
        like = of_group.setdefault(group, name)
        said = said if like == name else f"as for {like}"
        lines += ["", *textwrap.wrap(f"{name}: {said}", WIDTH, subsequent_indent="  ")]
        for flag, text in config_entries(group, f"{name}."):
            default = text[text.rfind("(") :] if text.endswith(")") else ""
            short = like != name or flag.startswith(f"--{name}.enabled ")
            lines += _entry(flag, default if short else text)
    return lines


def config_entries(
    model: type[BaseModel], prefix: str = "", only: str | None = None
) -> list[tuple[str, str]]:
    """(flag with its type, description with its default) of each field, nested ones too."""
    entries: list[tuple[str, str]] = []
    for name, info in model.model_fields.items():
        if only not in (None, name):
            continue
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            entries += config_entries(annotation, f"{prefix}{name}.")
            continue
        text = " ".join((info.description or "").split())
        entries.append(
            (f"--{prefix}{name} {_type_name(annotation)}", f"{text}{_default(info)}".strip())
        )
    return entries


def _command_lines(command: str) -> list[str]:
    """A command over as many lines as it needs, each but the last ending in a backslash."""
    first, *flags = command.split(" --")
    lines = [f"  {first}"]
    for flag in flags:
        if len(lines[-1]) + len(flag) + 5 <= WIDTH:
            lines[-1] += f" --{flag}"
        else:
            lines[-1] += " \\"
            lines.append(f"    --{flag}")
    return lines


def _entry(flag: str, text: str) -> list[str]:
    indent = " " * 6
    if len(flag) <= 24:
        wrapped = textwrap.wrap(text, WIDTH - 28) or [""]
        return [f"  {flag:<25} {wrapped[0]}", *(f"{'':28}{line}" for line in wrapped[1:])]
    if len(flag) <= 44:
        return textwrap.wrap(
            f"  {flag}  {text}", WIDTH, subsequent_indent=indent, break_on_hyphens=False
        )
    # Many choices are broken between two of them.
    head = textwrap.wrap(flag.replace("|", "| "), WIDTH - 8, break_on_hyphens=False)
    choices = [line.replace("| ", "|") for line in head]
    return [
        f"  {choices[0]}",
        *(f"{indent}{line}" for line in choices[1:]),
        *(f"{indent}{line}" for line in textwrap.wrap(text, WIDTH - 6)),
    ]


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return " (required)"
    value = info.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, BaseModel):
        return ""
    text = str(list(value)) if isinstance(value, tuple) else str(value)
    return f" ({text})" if len(text) <= 60 else ""


def _type_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return "|".join(str(choice) for choice in get_args(annotation))
    if origin in (Union, types.UnionType):
        return _type_name(next(a for a in get_args(annotation) if a is not type(None)))
    if origin in (list, tuple, set, frozenset):
        return "[A,B,...]"
    if origin is dict:
        return "{K: V}"
    names = {int: "N", float: "X", bool: "true|false", str: "TEXT"}
    return names.get(annotation, getattr(annotation, "__name__", "VALUE").upper())
