"""The `--help` of a verb, from the fields of its config."""

from __future__ import annotations

import re
import textwrap
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gristmill.core.errors import GristmillError
from gristmill.core.nearest import did_you_mean
from gristmill.stages.stage import Stage

WIDTH = 80
LINES = 66
"""A help of more lines is given in brief, unless all of it is asked for."""

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


def stage_help(stage: Stage[Any], about: Sequence[str] = ()) -> str:
    """Usage, inputs, settings with types and defaults, and an example; a line for each setting
    and each group of them where that would be long. about: names of what to show in full, `all`
    for all. Raises GristmillError for a name that the verb does not have."""
    if about and "all" not in about:
        return "\n\n".join("\n".join(_about(stage, name)) for name in about)
    whole = _page(stage, _settings(stage.config))
    if about or len(whole) <= LINES:
        return "\n".join(whole)
    return "\n".join(_page(stage, _in_brief(stage)))


def _page(stage: Stage[Any], settings: list[str]) -> list[str]:
    lines = [f"gristmill {stage.verb} [flags]", "", *textwrap.wrap(stage.summary, WIDTH), ""]
    if stage.inputs:
        lines.append("inputs: folders of artifacts, or names in the workspace such as train.sft;")
        lines.append("without them the newest in the workspace that the verb did not make")
        for flag, text in _input_entries(stage):
            lines += _entry(flag, text)
        lines.append("")
    if settings:
        lines += [*settings, ""]
    lines.append("how to work")
    for flag, text in FRAME:
        lines += _entry(flag, text)
    lines += ["", "example"]
    for line in stage.example.splitlines():
        lines += _command_lines(line)
    return lines


def _input_entries(stage: Stage[Any]) -> list[tuple[str, str]]:
    return [
        (
            f"--{name} FOLDER",
            (slot.help or " or ".join(slot.kinds) or "any artifact")
            + (", optional" if slot.optional else ""),
        )
        for name, slot in stage.inputs.items()
    ]


def _groups(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    return {
        name: info.annotation
        for name, info in model.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }


def _said(group: type[BaseModel]) -> str:
    """What a group of settings is, in one paragraph."""
    return " ".join((group.__doc__ or "").partition("\n\n")[0].split())


def _settings(model: type[BaseModel]) -> list[str]:
    """A line or more for each field; those of a group below what the group is, and of a group like
    one before without saying all again."""
    if not model.model_fields:
        return []
    lines = ["settings"]
    of_group: dict[Any, str] = {}
    groups = _groups(model)
    for name in model.model_fields:
        if name not in groups:
            for flag, text in config_entries(model, only=name):
                lines += _entry(flag, text)
    for name, group in groups.items():
        like = of_group.setdefault(group, name)
        lines += ["", *_group(name, group, like)]
    return lines


def _group(name: str, group: type[BaseModel], like: str) -> list[str]:
    """A group of settings; `like` is one before of the same kind, or the group itself."""
    said = _said(group) if like == name else f"as for {like}"
    lines = textwrap.wrap(f"{name}: {said}", WIDTH, subsequent_indent="  ")
    for flag, text in config_entries(group, f"{name}."):
        default = text[text.rfind("(") :] if text.endswith(")") else ""
        short = like != name or flag.startswith(f"--{name}.enabled ")
        lines += _entry(flag, default if short else text)
    return lines


def _in_brief(stage: Stage[Any]) -> list[str]:
    """A line for each setting, and for each group of settings."""
    groups = _groups(stage.config)
    lines = [f"settings (all that there is to say: gristmill {stage.verb} --help all)"]
    for name in stage.config.model_fields:
        if name not in groups:
            for flag, text in config_entries(stage.config, only=name):
                lines.append(_one_line(flag, text))
    if groups:
        one = next(iter(groups))
        lines += ["", f"groups of settings (one of them: gristmill {stage.verb} --help {one})"]
    for name, group in groups.items():
        default = stage.config.model_fields[name].get_default(call_default_factory=True)
        off = "" if getattr(default, "enabled", True) else " (off)"
        lines.append(_one_line(f"--{name}.", f"{_said(group)}{off}"))
    return lines


def _one_line(flag: str, text: str) -> str:
    """A flag, as much as a line holds of the first sentence on it, and its default if that fits."""
    name, _, kind = flag.partition(" ")
    shorter = f"{name} CHOICE" if "|" in kind and kind != "true|false" else name
    flag = next((one for one in (flag, shorter) if len(one) <= 26), name)
    said, _, default = text.rpartition("(") if text.endswith(")") else (text, "", "")
    first = re.split(r"(?<! al)[.;] |[.;]$", said.strip())[0]
    room = WIDTH - 29
    if len(first) > room or first.count("(") > first.count(")"):
        first = re.sub(r" \([^)]*(\)|$)", "", first)
    if len(first) > room:
        # A clause of some words says more than a sentence that breaks off.
        clause = re.split("[,:] ", first)[0]
        whole = clause.count(" ") > 2 and len(clause) <= room
        first = clause if whole else textwrap.shorten(first, room, placeholder=" ...")
    told = f"{first} ({default}".strip() if default else first
    return f"  {flag:<26} {told if len(told) <= room else first}".rstrip()


def _about(stage: Stage[Any], name: str) -> list[str]:
    """All that is to be said of one setting, group of settings, input or common flag."""
    wanted = name.replace("-", "_").strip("_.")
    group: type[BaseModel] | None = stage.config
    for part in wanted.split("."):
        group = _groups(group).get(part) if group else None
    if group:
        return _group(wanted, group, wanted)
    entries = [*config_entries(stage.config), *_input_entries(stage), *FRAME]
    by_name = {flag.split()[0][2:].replace("-", "_"): (flag, text) for flag, text in entries}
    if wanted in by_name:
        return _entry(*by_name[wanted])
    near = did_you_mean(wanted, [*_groups(stage.config), *by_name])
    raise GristmillError(
        f"{stage.verb} has no setting '{name}'",
        mend=near if near.startswith("did") else f"gristmill {stage.verb} --help names them",
    )


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
