"""What `train_loss_per_token.py` compares, and how it has `study ablate` train it.

An arm is what `train lm` trains with: settings that stay, rates that are searched, and one other
number that is tried at the best rate. The text, its tokenizer and its split are made once and
copied into every study's workspace; a study that was killed goes on, as any does.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gristmill.core.artifact import Artifact
from gristmill.model.flops import count_parameters, flops_per_token
from gristmill.model.lstm import LstmConfig
from gristmill.scaling.dial import Dial
from gristmill.stages.train_lm import TrainLmConfig, dial_of
from gristmill.train.metrics import read_metrics

RECIPE = Path(__file__).parent / "ablations" / "loss_per_token.yaml"
VOCABULARY = 2048
CONTEXT = 256
# Of 5 or 3 rates in the middle of which the default stands.
FACTOR = 1.8

Changes = dict[str, Any]
"""Keys of the recipe and their values."""


@dataclass(frozen=True)
class Arm:
    """fixed: what all its runs share. rates: of each role, at factor 1. knobs: tried at the best
    rate, by name."""

    name: str
    fixed: Changes
    rates: dict[str, float]
    knobs: dict[str, Changes]
    parameters: int
    flops: float
    """For each token trained on."""

    def settings(self, factor: float, knob: str = "") -> Changes:
        """All that is set for one run."""
        rates = {f"train.lm.dial.{role}_lr": rate * factor for role, rate in self.rates.items()}
        return {**self.fixed, **rates, **(self.knobs[knob] if knob else {})}


@dataclass(frozen=True)
class Trained:
    """One run. loss: nats a token over the held-out documents; curve: (tokens, loss over held-out
    windows) as it trained; cpu_seconds: of the whole stage."""

    loss: float
    bits_per_byte: float
    curve: list[tuple[int, float]]
    cpu_seconds: float
    parameters: int
    tokens: int


@dataclass(frozen=True)
class Place:
    """Where studies of one text run, and what they share."""

    folder: Path
    text: Path
    flags: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """The text's tokens and tokenizer."""
        self._call(["run", str(RECIPE), "--until", "tokenizer.encode", *self._where("text")])

    def study(
        self, name: str, settings: Mapping[str, Changes], seeds: int, first_seed: int
    ) -> dict[str, list[Trained]]:
        """Every setting at each seed; the runs of a setting in the order of the seeds."""
        artifacts = self.folder / name / "artifacts"
        if not artifacts.exists():
            partial = artifacts.with_name("copying")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(self.folder / "text" / "artifacts", partial)
            partial.rename(artifacts)
        file = self.folder / name / "settings.yaml"
        file.write_text(yaml.safe_dump(dict(settings), sort_keys=False), encoding="utf-8")
        said = self._call(
            [
                "study", "ablate", str(RECIPE), "--settings", str(file), "--seeds", str(seeds),
                "--train.lm.seed", str(first_seed), *self._where(name),
            ]
        )  # fmt: skip
        return _read(Path(json.loads(said)["path"]))

    def _where(self, name: str) -> list[str]:
        workspace = ["--workspace", str(self.folder / name)]
        return [*workspace, "--data.import.path", str(self.text), *self.flags, "--json"]

    def _call(self, arguments: Sequence[str]) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gristmill", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "NUMBA_NUM_THREADS": "1",
                "GRISTMILL_PROGRESS": "off",
            },
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"gristmill {' '.join(arguments)}:\n{done.stderr[-2000:]}")
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def arms(size: float, tokens: int) -> dict[str, Arm]:
    """The arms at a size (millions of parameters wished for) and a budget, the recipe first.

    adamw_cosine: the recipe with AdamW in Muon's place and a cosine to 0 in place of its schedule.
    adamw_one_rate: AdamW as published for language models: one rate for everything, a cosine to a
    tenth of it after a warm-up of a twentieth, decay .1. lstm: as the dial has it, as many
    parameters as the transformer.
    """
    ours = _dial(size, tokens)
    rates = {role: getattr(ours, f"{role}_lr") for role in ("matrix", "embedding", "head", "other")}
    by_adamw = {"train.lm.optimizer": "adamw", "train.lm.schedule": "cosine"}
    shape = lstm_shape(ours.parameters)
    lstm = _dial(size, tokens, "lstm", {"width": shape.width, "hidden": shape.hidden})
    decay = "train.lm.dial.weight_decay"
    transformer = ours.parameters, flops_per_token(ours.model)
    found = [
        Arm(
            "ours",
            {},
            rates,
            {"falling from the first step": {"train.lm.decay": 1.0}},
            *transformer,
        ),
        Arm(
            "adamw_cosine",
            by_adamw,
            {**rates, "matrix": 4e-3},
            {"decay .1": {decay: 0.1}},
            *transformer,
        ),
        Arm(
            "lstm",
            {
                "train.lm.architecture": "lstm",
                "train.lm.dial.width": shape.width,
                "train.lm.dial.hidden": shape.hidden,
            },
            # Its head is its embedding.
            {role: getattr(lstm, f"{role}_lr") for role in ("matrix", "embedding", "other")},
            {"dropout .1": {"train.lm.dial.dropout": 0.1}},
            lstm.parameters,
            flops_per_token(lstm.model),
        ),
        Arm(
            "adamw_one_rate",
            {
                **by_adamw,
                "train.lm.floor": 0.1,
                decay: 0.1,
                "train.lm.dial.warmup": max(1, ours.steps // 20),
            },
            dict.fromkeys(rates, 4e-3),
            {"to 0": {"train.lm.floor": 0.0}},
            *transformer,
        ),
    ]
    return {arm.name: arm for arm in found}


def lstm_shape(parameters: int) -> LstmConfig:
    """The LSTM of two layers nearest to the dial's aspect of 1.5 whose parameters are within half
    a per cent."""
    shapes = [
        LstmConfig(VOCABULARY, width, 2, hidden, CONTEXT)
        for width in range(16, 1024, 4)
        for hidden in range(width, 2 * width, 4)
    ]
    near = [s for s in shapes if abs(count_parameters(s).total / parameters - 1) < 0.005]
    return min(near, key=lambda shape: abs(shape.hidden / shape.width - 1.5))


def _dial(
    size: float, tokens: int, family: str = "transformer", shape: Changes | None = None
) -> Dial:
    config = {"size": size, "token_budget": tokens, "context": CONTEXT, "architecture": family}
    return dial_of(TrainLmConfig.model_validate({**config, "dial": shape or {}}), VOCABULARY)


def _read(path: Path) -> dict[str, list[Trained]]:
    """From the comparison to its evaluations, and from each of those to its model."""
    comparison = Artifact.open(path)
    scores = comparison.manifest.inputs["artifacts"]
    found: dict[str, list[Trained]] = {}
    for run in comparison.manifest.config["runs"]:
        (place,) = run["nodes"].values()
        score = Artifact.open((path / scores[place].path).resolve())
        model = Artifact.open((score.path / score.manifest.inputs["model"][0].path).resolve())
        found.setdefault(run["setting"], []).append(_trained(score, model))
    return found


def _trained(score: Artifact, model: Artifact) -> Trained:
    results = score.read_json("results.json")
    bits = math.fsum(results["bits"]["base"]["text"])
    documents = results["documents"]
    training = model.read_json("training.json")
    return Trained(
        loss=bits * math.log(2) / sum(one["tokens"] for one in documents),
        bits_per_byte=bits / sum(one["bytes"] for one in documents),
        curve=[
            (step["tokens"], step["heldout.loss"])
            for step in read_metrics(model.path / "metrics.jsonl")
            if "heldout.loss" in step
        ],
        cpu_seconds=model.manifest.cpu_seconds,
        parameters=model.manifest.counts["parameters"],
        tokens=training["tokens"],
    )
