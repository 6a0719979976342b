"""A workspace: the folder in which a recipe's artifacts and runs lie.

runs/demo/artifacts/data.crawl-3fa9c1d2e4b5/   sealed, whole
runs/demo/unfinished/data.crawl-3fa9c1d2e4b5/  a run that is still moving
runs/demo/nodes.json                           which artifact each node of the recipe made last
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gristmill.core.artifact import MANIFEST, Artifact, artifact_name
from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.core.nearest import did_you_mean

NODES = "nodes.json"


@dataclass(frozen=True)
class Workspace:
    """Where artifacts are found and made."""

    path: Path

    @classmethod
    def at(cls, path: Path | str, *, create: bool = True) -> Workspace:
        """The workspace in `path`; the folder is made if need be, unless `create` is false.

        Raises GristmillError where a file is in the way, or the folder cannot be made.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise GristmillError("a workspace is a folder, and this is a file", where=path)
        if create:
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise GristmillError(
                    f"the workspace cannot be made: {error.strerror}",
                    where=path,
                    mend="give another folder with --workspace DIR",
                ) from error
        return cls(path)

    @classmethod
    def existing(cls, path: Path | str) -> Workspace:
        """The workspace in `path`. Raises GristmillError where there is no such folder."""
        path = Path(path)
        if not path.is_dir():
            raise GristmillError("no such workspace", where=path, mend="give --workspace DIR")
        return cls(path)

    @property
    def artifacts_folder(self) -> Path:
        """Where sealed artifacts lie; it need not be there yet."""
        return self.path / "artifacts"

    def artifact_path(self, stage: str, key: str) -> Path:
        """Where the artifact of that key lies, or would."""
        return self.artifacts_folder / artifact_name(stage, key)

    def run_path(self, stage: str, key: str) -> Path:
        """Where the run of that key lies, or would."""
        return self.path / "unfinished" / artifact_name(stage, key)

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact of that key, its manifest checked; None where it was not made yet."""
        path = self.artifact_path(stage, key)
        return Artifact.open(path) if (path / MANIFEST).is_file() else None

    def artifacts(self) -> list[Artifact]:
        """Every sealed artifact, oldest first."""
        return _oldest_first(Artifact.open(path.parent) for path in sorted(self._manifests()))

    def nodes(self) -> dict[str, Artifact]:
        """The last artifact of each node of the recipe, in the order in which they were made."""
        found = {}
        for node, name in self.node_names().items():
            folder = self.artifacts_folder / name
            if (folder / MANIFEST).is_file():
                found[node] = replace(Artifact.open(folder), node=node)
        return found

    def readable_nodes(self) -> tuple[dict[str, Artifact], dict[str, str]]:
        """As `nodes`, where one that is damaged does not hide the others: those that can be read,
        and by name why another cannot.

        Where the list of nodes itself is damaged every artifact counts, oldest first, under its
        stage, or under its folder's name where several are of one stage.
        """
        problems: dict[str, str] = {}
        try:
            names = self.node_names()
        except DamagedArtifact as error:
            problems[NODES] = error.one_line()
            names = {p.parent.name: p.parent.name for p in sorted(self._manifests())}
        found: dict[str, Artifact] = {}
        for node, name in names.items():
            folder = self.artifacts_folder / name
            try:
                if (folder / MANIFEST).is_file():
                    found[node] = replace(Artifact.open(folder), node=node)
            except (GristmillError, OSError) as error:
                what = error.one_line() if isinstance(error, GristmillError) else str(error)
                problems[node] = what
        return (_by_stage(found) if NODES in problems else found), problems

    def named(self, word: str) -> Artifact:
        """The artifact of the node `word`, the model of that name (`sft`, see `short_name`), or the
        last one whose folder's name begins with it.

        Raises GristmillError where there is none.
        """
        nodes = self.nodes()
        for known in (nodes, model_nodes(nodes)):
            if word in known:
                return known[word]
        fitting = [one for one in self.artifacts() if one.name.startswith(word)]
        if not fitting:
            raise GristmillError(
                f"no artifact '{word}'", where=self.path, mend=did_you_mean(word, nodes)
            )
        return fitting[-1]

    def name_node(self, node: str, artifact: Artifact) -> None:
        """Records that `node` made `artifact`; a node that was there moves to the end."""
        names = self.node_names()
        names.pop(node, None)
        names[node] = artifact.name
        write_json(self.path / NODES, names)

    def latest(self, *kinds: str) -> Artifact | None:
        """The newest node's artifact of one of these kinds."""
        fitting = [artifact for artifact in self.nodes().values() if artifact.kind in kinds]
        return fitting[-1] if fitting else None

    def node_names(self) -> dict[str, str]:
        """The name of each node's last artifact, there or not. Raises DamagedArtifact."""
        path = self.path / NODES
        if not path.exists():
            return {}
        try:
            names = read_json(path)
        except ValueError:
            names = None
        if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
            raise DamagedArtifact(
                "damaged list of nodes", where=path, mend="delete it and run the recipe again"
            )
        return names

    def _manifests(self) -> list[Path]:
        found = self.artifacts_folder.glob(f"*/{MANIFEST}")
        return [path for path in found if not path.parent.name.startswith(".")]

    def publish(self, file: Path) -> None:
        """Copies a file of an artifact into the workspace's own folder, whole or not at all."""
        temporary = self.path / f".{file.name}.tmp"
        shutil.copyfile(file, temporary)
        temporary.replace(self.path / file.name)

    def remove_leftovers(self) -> None:
        """Removes temporary folders that a killed process left."""
        for path in self.artifacts_folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)


def short_name(node: str) -> str:
    """What the model of a node is called wherever models are named: `base` for `train.lm`, else the
    last part of its stage (`sft`, `import`), and its label after it: `ppo@mine`."""
    stage, _, label = node.partition("@")
    own = "base" if stage == "train.lm" else stage.rpartition(".")[2]
    return f"{own}@{label}" if label else own


def model_nodes(nodes: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """The models among the nodes by `short_name`, in their order; by the node's name where that of
    an earlier one is the same."""
    found: dict[str, Artifact] = {}
    for node, artifact in nodes.items():
        if artifact.kind == "model":
            name = short_name(node)
            found[node if name in found else name] = artifact
    return found


def _oldest_first(artifacts: Iterable[Artifact]) -> list[Artifact]:
    return sorted(artifacts, key=lambda artifact: (artifact.manifest.created, artifact.name))


def _by_stage(found: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """By stage, or by the folder's name where several are of one stage; oldest first."""
    stages = [artifact.stage for artifact in found.values()]
    return {
        one.stage if stages.count(one.stage) == 1 else one.name: one
        for one in _oldest_first(found.values())
    }


def asked_for(told: Sequence[Artifact]) -> list[tuple[Artifact, str]]:
    """What the studies among these artifacts had made for themselves, with the study's name."""
    known = {artifact.name for artifact in told}
    found: list[tuple[Artifact, str]] = []

    def walk(artifact: Artifact, study: str) -> None:
        for _, below in artifact.inputs():
            if below.name not in known:
                known.add(below.name)
                walk(below, study)
                found.append((below, study))

    for artifact in told:
        if artifact.stage.startswith("study."):
            walk(artifact, artifact.stage)
    return found
