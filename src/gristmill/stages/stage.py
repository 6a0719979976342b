"""What a stage is: a function of a config and input artifacts that makes one artifact.

    @stage("data filter", version=1, kind="layer", config=FilterConfig,
           inputs={"documents": Slot("documents", "layer")}, summary="...", example="...")
    def data_filter(config: FilterConfig, inputs: Inputs, output: Output) -> None:
        ...writes into output.path...

    artifact = data_filter.run(FilterConfig(), {"documents": documents}, Workspace.at("runs/mine"))

The body writes files below `output.path` and fills `output.counts`, `figures`, `tables`, `charts`
and `samples`; hashing, the manifest, caching and the atomic rename are done here, once.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_file, hash_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.core.extension import extension_hash
from gristmill.core.figure import Chart, Figure, Samples, Table, figures_to_json
from gristmill.core.run import Run
from gristmill.core.seeds import derive_seed

if TYPE_CHECKING:
    from gristmill.stages.expansion import Expansion, Place

PRESENTATION = "presentation.json"
ENGINES = ("local", "ray")


class StageConfig(BaseModel):
    """Base of every stage's config: unknown keys are refused, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def local(default: Any = ..., **kwargs: Any) -> Any:
    """A config field that says how or where to work, not what to make: not part of the identity."""
    return Field(default, json_schema_extra={"identity": "none"}, **kwargs)


def later(default: Any, **kwargs: Any) -> Any:
    """A config field that a stage was given after artifacts of it were made. Its default is what
    was done before, and at its default it is not part of the identity: they stay what they are."""
    return Field(default, json_schema_extra={"identity": "unless_default"}, **kwargs)


def content_of(default: Any = ..., *, hashed_by: str | None = None, **kwargs: Any) -> Any:
    """A config field that is a path (or a list of them): its identity is what the files hold.

    hashed_by: `package.module:function`, path to text, for a file whose bytes say more than that.
    """
    how: dict[str, Any] = {"identity": "content"}
    if hashed_by is not None:
        how["hashed_by"] = hashed_by
    return Field(default, json_schema_extra=how, **kwargs)


def function_name(default: Any = ..., **kwargs: Any) -> Any:
    """A config field that names a user's function (or a list): its source joins the identity."""
    return Field(default, json_schema_extra={"identity": "function"}, **kwargs)


def _made_by(kinds: Sequence[str], asks: str) -> str:
    # The registry imports this module.
    from gristmill.stages.registry import verbs_that_make

    verbs = [f"gristmill {verb}" for verb in verbs_that_make(kinds) if verb != asks]
    return f", or make one first: {', '.join(verbs[:3])}" if verbs else ""


@dataclass(frozen=True)
class Slot:
    """An input of a stage: the kinds of artifact that fit; any kind where none is named."""

    kinds: tuple[str, ...]
    optional: bool = False
    many: bool = False
    named: bool = False
    """Filled only where a recipe or a flag names what fills it."""
    unless: str = ""
    """A setting: where it is given the slot is as if `named`."""
    help: str = ""

    def __init__(
        self,
        *kinds: str,
        optional: bool = False,
        many: bool = False,
        named: bool = False,
        unless: str = "",
        help: str = "",
    ):
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "optional", optional)
        object.__setattr__(self, "many", many)
        object.__setattr__(self, "named", named)
        object.__setattr__(self, "unless", unless)
        object.__setattr__(self, "help", help)

    def must_be_named(self, config: StageConfig) -> bool:
        """Whether nothing fills it by itself, with these settings."""
        return self.named or bool(self.unless and getattr(config, self.unless))


class Inputs:
    """The artifacts that a stage was given, by slot."""

    def __init__(self, artifacts: Mapping[str, Sequence[Artifact]]):
        self._artifacts = {name: list(found) for name, found in artifacts.items()}

    def __getitem__(self, slot: str) -> Artifact:
        return self._artifacts[slot][0]

    def get(self, slot: str) -> Artifact | None:
        """The artifact of an optional slot, or None."""
        found = self._artifacts.get(slot)
        return found[0] if found else None

    def many(self, slot: str) -> list[Artifact]:
        """All artifacts of a slot."""
        return list(self._artifacts.get(slot, ()))

    def slots(self) -> dict[str, list[Artifact]]:
        """Everything, by slot."""
        return {name: list(found) for name, found in self._artifacts.items()}


@dataclass(frozen=True)
class Execution:
    """How to work on this machine; never part of an identity."""

    workers: int = 2
    device: str = "auto"
    engine: str = "local"
    """Where steps over documents run: local, in worker processes here, or ray, on a cluster."""
    address: str | None = None
    """The cluster's; none: the one that this machine belongs to."""

    @property
    def engine_settings(self) -> tuple[int, str, str | None]:
        """The arguments of `data.engine.steps.engine_of`."""
        return self.workers, self.engine, self.address


@dataclass
class Output:
    """What the body of a stage writes to."""

    path: Path
    """A fresh folder; all below it becomes the artifact."""
    run: Run
    """A folder that survives a kill, for stages that go on where they stopped."""
    seed: int
    """Derived from the recipe's seed and the stage's name; in the identity of seeded stages."""
    execution: Execution
    counts: dict[str, int] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences for the report, such as why a figure is low."""
    volatile: set[str] = field(default_factory=set)
    """Files (or folders, with a final /) that vary between equal runs: checked, not content."""
    content: str | None = None
    """Overrides the content hash, where what matters is less than the bytes of the files."""

    def reject(self, name: str, records: Iterable[Mapping[str, Any]]) -> int:
        """Appends bad records to `rejects/NAME.jsonl`; returns how many."""
        path = self.path / "rejects" / f"{name}.jsonl"
        count = 0
        lines = []
        for record in records:
            lines.append(json.dumps(record, ensure_ascii=False, sort_keys=True))
            count += 1
        if lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write("\n".join(lines) + "\n")
        return count

    def write_presentation(self) -> None:
        """Writes what the report draws, if the body gave any."""
        shown = {
            "figures": figures_to_json(self.figures),
            "tables": [_cells(table) for table in self.tables],
            "charts": [asdict(chart) for chart in self.charts],
            "samples": [asdict(samples) for samples in self.samples],
            "notes": self.notes,
        }
        if any(shown.values()):
            write_json(self.path / PRESENTATION, _finite(shown))


C = TypeVar("C", bound=StageConfig)
Body = Callable[[C, Inputs, Output], None]


@dataclass(frozen=True)
class Stage(Generic[C]):
    """A stage: what it is called, what it takes, what it makes, and the function that does it."""

    verb: str
    version: int
    kind: str
    config: type[C]
    inputs: Mapping[str, Slot]
    body: Body[C]
    summary: str
    example: str
    seeded: bool = False
    uncached: bool = False
    """Runs each time: cheap, and depends on more than the contents of its inputs (the report)."""
    publishes: tuple[str, ...] = ()
    """Files of the artifact that are copied to the workspace's own folder."""
    expand: Callable[[C, Place], Expansion] | None = None
    """For a study: the stages that are to run before it (`stages/expansion.py`)."""
    kind_setting: str = ""
    """The setting that says which kind it makes, where it can make several; `kind` by default."""

    def makes(self, config: C) -> str:
        """The kind of artifact that it makes with these settings."""
        return str(getattr(config, self.kind_setting)) if self.kind_setting else self.kind

    @property
    def name(self) -> str:
        """The verb path as a recipe writes it, `data.filter`."""
        return self.verb.replace(" ", ".")

    def key(
        self, config: C, inputs: Mapping[str, Sequence[Artifact]], seed: int
    ) -> tuple[str, dict[str, str]]:
        """The cache key, and the source hashes of the user's functions in it."""
        identity, extensions = config_identity(config)
        parts = {
            "stage": self.name,
            "version": self.version,
            "config": identity,
            "extensions": sorted(extensions.values()),
            "inputs": {slot: [a.content for a in found] for slot, found in inputs.items() if found},
            "seed": derive_seed(seed, self.name) if self.seeded else None,
        }
        called = {
            slot: [a.node for a in found]
            for slot, found in inputs.items()
            if any("@" in a.node for a in found)
        }
        if called and getattr(config, "names", None) == ():
            # Its results hold what its models are called, and no content tells a label.
            parts["called"] = called
        return hash_json(parts), extensions

    def check_inputs(self, inputs: Mapping[str, Sequence[Artifact]]) -> None:
        """Raises GristmillError for a missing, unknown or unfitting input."""
        for slot in inputs:
            if slot not in self.inputs:
                raise GristmillError(
                    f"{self.verb} has no input '{slot}'", mend=f"it takes {', '.join(self.inputs)}"
                )
        for name, taken in self.inputs.items():
            found = inputs.get(name, ())
            if not found and not taken.optional:
                raise GristmillError(
                    f"{self.verb} needs its input '{name}' ({' or '.join(taken.kinds)})",
                    mend=f"give --{name} FOLDER{_made_by(taken.kinds, self.verb)}",
                )
            for artifact in found:
                if taken.kinds and artifact.kind not in taken.kinds:
                    raise GristmillError(
                        f"{self.verb} cannot take {artifact.kind} as '{name}'",
                        where=artifact.path,
                        mend=f"it takes {' or '.join(taken.kinds)}",
                    )

    def run(
        self,
        config: C,
        inputs: Mapping[str, Artifact | Sequence[Artifact]],
        workspace: Any,
        *,
        seed: int = 0,
        execution: Execution | None = None,
    ) -> Artifact:
        """The artifact of this config and these inputs: found in the workspace, or made.

        workspace: a `gristmill.stages.workspace.Workspace`.
        """
        from gristmill.stages.execute import execute

        lists = {n: [a] if isinstance(a, Artifact) else list(a) for n, a in inputs.items()}
        return execute(self, config, lists, workspace, seed, execution or Execution())


def stage(
    verb: str,
    *,
    version: int,
    kind: str,
    config: type[C],
    inputs: Mapping[str, Slot],
    summary: str,
    example: str,
    seeded: bool = False,
    uncached: bool = False,
    publishes: tuple[str, ...] = (),
    expand: Callable[[C, Place], Expansion] | None = None,
    kind_setting: str = "",
) -> Callable[[Body[C]], Stage[C]]:
    """Makes a Stage of the function that follows."""

    def wrap(body: Body[C]) -> Stage[C]:
        return Stage(
            verb=verb,
            version=version,
            kind=kind,
            config=config,
            inputs=dict(inputs),
            body=body,
            summary=summary,
            example=example,
            seeded=seeded,
            uncached=uncached,
            publishes=publishes,
            expand=expand,
            kind_setting=kind_setting,
        )

    return wrap


def config_identity(config: BaseModel) -> tuple[dict[str, Any], dict[str, str]]:
    """The part of a config that decides the result, and the hashes of the functions it names."""
    identity: dict[str, Any] = {}
    extensions: dict[str, str] = {}
    dumped = config.model_dump(mode="json")
    for name, info in type(config).model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        how = extra.get("identity", "value")
        value = getattr(config, name)
        if how == "none" or (how == "unless_default" and _same(value, info.default)):
            continue
        if how == "content":
            hashing = _hashing(extra.get("hashed_by"))
            identity[name] = [hashing(Path(path)) for path in _as_list(value)]
        elif how == "function":
            # Where the file lies does not matter; what it holds does.
            identity[name] = [given.rpartition(":")[2] for given in _as_list(value)]
            extensions.update((f, extension_hash(f)) for f in _as_list(value))
        elif isinstance(value, BaseModel):
            identity[name], inner = config_identity(value)
            extensions.update(inner)
        else:
            identity[name] = dumped[name]
    return identity, extensions


def _same(value: Any, default: Any) -> bool:
    """Whether both decide the same: a group may differ in how its work is done."""
    if isinstance(value, BaseModel) and isinstance(default, BaseModel) and value != default:
        return config_identity(value) == config_identity(default)
    return bool(value == default)


def hash_path(path: Path) -> str:
    """The content hash of a file with its name, or of a folder's files with their relative names.

    The name counts because it says how a file is read, and it ends up in URLs.
    Raises GristmillError where there is nothing.
    """
    if path.is_file():
        return hash_json({path.name: hash_file(path)})
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return hash_json({p.relative_to(path).as_posix(): hash_file(p) for p in files})
    raise GristmillError("no such file or folder", where=path, mend="check the path")


def _hashing(name: Any) -> Callable[[Path], str]:
    if name is None:
        return hash_path
    module, _, function = str(name).partition(":")
    found: Callable[[Path], str] = getattr(importlib.import_module(module), function)
    return found


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return [str(value)]


def _cells(table: Table) -> dict[str, Any]:
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return {"title": table.title, "columns": list(table.columns), "rows": rows, "note": table.note}


def _cell(cell: Any) -> Any:
    if not isinstance(cell, Figure):
        return cell
    # A share of nothing is an empty place, not a number.
    return None if math.isnan(cell.value) else {"figure": cell.to_json()}


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null. Numpy scalars become numbers."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
