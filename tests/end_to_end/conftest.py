"""The demo recipe at test size, run as a user runs it: in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TEST_SIZE = {
    "data.sample-web.scale": "0.03",
    "data.quality.min_positives": "5",
    "data.domains.min_documents": "5",
    "tokenizer.train.vocab_size": "768",
    "train.lm.size": "0.15",
    "train.lm.context": "128",
    "train.lm.token_budget": "50000",
    "train.lm.precision": "fp32",
    "train.lm.checkpoint_seconds": "1",
    "evaluate.tasks.questions": "60",
    "evaluate.tasks.asked": "8",
    "evaluate.tasks.max_tokens": "6",
    "evaluate.contamination.orders": "3",
    "evaluate.judge.prompts": "8",
    "evaluate.judge.max_tokens": "16",
    "align.synthesize.read_characters": "120",
    "align.synthesize.heldout": "24",
    "train.sft.epochs": "8",
    "train.sft.precision": "fp32",
    "train.sft.checkpoint_seconds": "1",
    "train.sft.questions": "20",
    "train.sft.max_tokens": "16",
    "align.sample.prompts": "40",
    "align.sample.heldout": "24",
    "align.sample.max_tokens": "24",
    "align.rank.margin": "0.02",
    "train.reward.precision": "fp32",
    "train.dpo.precision": "fp32",
    "train.ppo.iterations": "2",
    "train.ppo.rollouts": "8",
    "train.ppo.max_tokens": "16",
    "train.ppo.questions": "8",
    "train.ppo.checkpoint_seconds": "1",
    "align.best-of-n.prompts": "8",
    "align.best-of-n.samples": "16",
    "align.best-of-n.max_tokens": "16",
    "study.alignment.prompts": "8",
    "study.alignment.samples": "2",
    "study.alignment.max_tokens": "16",
    "study.alignment.documents": "4",
}


@dataclass(frozen=True)
class Recipe:
    """A command line for the demo at test size in a workspace."""

    workspace: Path
    environment: dict[str, str]

    def command(self, *more: str) -> list[str]:
        """The arguments; `more` come last and win."""
        flags = [part for key, value in TEST_SIZE.items() for part in (f"--{key}", value)]
        place = ["--workspace", str(self.workspace)]
        return [sys.executable, "-m", "gristmill", "run", "demo", *flags, *place, *more]

    def start(self, *more: str) -> "subprocess.Popen[str]":
        """The recipe in the background."""
        return subprocess.Popen(
            self.command("--json", *more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def run(self, *more: str, expect: int = 0) -> Any:
        """The result as JSON; the text of the errors where the exit code is not 0."""
        process = self.start(*more)
        out, err = process.communicate()
        assert process.returncode == expect, err[-4000:]
        return json.loads(out) if expect == 0 else err


@pytest.fixture(scope="session")
def make_recipe() -> Callable[[Path], Recipe]:
    """A recipe in a workspace, with the environment that tests run in."""

    def make(workspace: Path) -> Recipe:
        environment = dict(os.environ) | {"GRISTMILL_PROGRESS": "off", "OMP_NUM_THREADS": "2"}
        return Recipe(workspace, environment)

    return make


@dataclass(frozen=True)
class Finished:
    """An undisturbed run."""

    recipe: Recipe
    result: dict[str, Any]


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Recipe]
) -> Finished:
    """The demo at test size, run once for all tests that look at its result."""
    recipe = make_recipe(tmp_path_factory.mktemp("demo") / "w")
    return Finished(recipe, recipe.run())
