"""`train sft` and the comparison of all methods, on a model that knows nothing, end to end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gristmill.align.chats import Answer, Chat, Preference, write_records
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Request, Sampling
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model, save_model
from gristmill.stages.graph import run_recipe
from gristmill.stages.recipe import Recipe, check_recipe, load_recipe
from gristmill.stages.train_sft import TrainSftConfig, _learnt, train_sft
from gristmill.stages.workspace import Workspace
from gristmill.study.alignment import _asking_on, cost_since
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges
from gristmill.train.metrics import read_metrics

ANSWERS = ("ab", "ba", "aab")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


def chats(count: int, split: str) -> list[Chat]:
    chosen = random.Random(split)
    made = []
    for number in range(count):
        title, topic = f"{split}{number}", chosen.choice(ANSWERS)
        messages = (Message("user", f"Of {title}?"), Message("assistant", topic))
        truth = {"title": title, "topic": topic, "answer": topic}
        made.append(Chat(f"{split}-{number}", messages, title, "topic", truth))
    return made


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> dict[str, Path]:
    """A base model, chats and preferences as artifacts."""
    root = tmp_path_factory.mktemp("inputs")
    tokenizer = Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))
    model = Transformer(
        TransformerConfig(
            tokenizer.vocab_size, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
            mlp_width=64, context=64,
        )
    )  # fmt: skip
    model.init_weights(1)
    base = root / "base"
    tokenizer.save(base)
    save_model(base, model, base)
    talk = root / "chats"
    for split, count in (("train", 80), ("prompts", 16), ("heldout", 8), ("unseen", 4)):
        write_records(talk / f"{split}.jsonl", chats(count, split))
    pairs = root / "preferences"
    for split, count in (("train", 24), ("heldout", 8)):
        write_records(
            pairs / f"{split}.jsonl",
            [
                Preference(
                    f"{split}-{number}", chat.prompt, Answer("ab"), Answer("bbbb"),
                    group=chat.group, baseline=("rejected", "chosen")[number % 2],  # type: ignore
                )
                for number, chat in enumerate(chats(count, split))
            ],
        )  # fmt: skip
    kinds = {"base": "model", "chats": "chats", "preferences": "preferences"}
    return {name: seal(root / name, kind, "x").path for name, kind in kinds.items()}


SFT = TrainSftConfig(lr=5e-3, epochs=20, batch=4, precision="fp32", max_tokens=8)


def test_sft_makes_an_assistant_that_stops(folders: dict[str, Path], tmp_path: Path) -> None:
    inputs = {"model": Artifact.open(folders["base"]), "chats": Artifact.open(folders["chats"])}
    made = train_sft.run(SFT, inputs, Workspace.at(tmp_path), seed=1)
    figures = made.read_json("presentation.json")["figures"]
    assert figures["sft.stops"]["value"] > 0.9 and figures["sft.stops"]["n"] == 8
    assert figures["sft.answers.unseen"]["n"] == 4
    losses = [r["loss"] for r in read_metrics(made.path / "metrics.jsonl") if "loss" in r]
    assert losses[-1] < losses[0] / 2
    chat = ChatFormat.load(made.path, Tokenizer.load(made.path))
    generation = json.loads((made.path / "generation_config.json").read_text())
    assert generation["eos_token_id"] == list(chat.stop_ids)
    model = load_model(made.path)
    request = Request(
        chat.prompt([Message("user", "Of new?")]), Sampling(8, 0.0, stop_ids=chat.stop_ids)
    )
    [answer] = Engine(model).generate([request])
    assert answer.finish == "stop" and set(chat.text(answer.tokens)) <= {"a", "b"}


def test_windows_longer_than_the_model_reads_are_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    inputs = {"model": Artifact.open(folders["base"]), "chats": Artifact.open(folders["chats"])}
    config = SFT.model_copy(update={"context": 65})
    with pytest.raises(
        GristmillError, match="windows of 65 tokens for a model with a context of 64"
    ):
        train_sft.run(config, inputs, Workspace.at(tmp_path), seed=1)


def test_sft_on_the_chosen_leaves_out_what_did_not_stop(
    folders: dict[str, Path], tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    pairs = tmp_path / "pairs"
    prompt = (Message("user", "Of x?"),)
    write_records(
        pairs / "train.jsonl",
        [
            Preference("1", prompt, Answer("ab"), Answer("b")),
            Preference("2", prompt, Answer("ab", stopped=False), Answer("b")),
        ],
    )
    inputs = {
        "model": Artifact.open(folders["base"]),
        "chats": Artifact.open(folders["chats"]),
        "preferences": seal(pairs, "preferences", "x"),
    }
    config = SFT.model_copy(update={"epochs": 1.0, "questions": 0})
    made = train_sft.run(config, inputs, Workspace.at(tmp_path / "w"), seed=1)
    assert made.manifest.counts["chats"] == 1
    assert made.read_json("training.json")["method"] == "chosen"


def test_sft_on_the_chosen_learns_the_chosen(folders: dict[str, Path]) -> None:
    inputs = {name: Artifact.open(path) for name, path in folders.items()}
    learnt, rejects = _learnt(inputs)  # type: ignore[arg-type]
    assert learnt and not rejects
    assert {chat.messages[-1] for chat in learnt} == {Message("assistant", "ab")}


def recipe(folders: dict[str, Path], folder: Path, **study: Any) -> Recipe:
    """All methods, as small as they go."""
    small = {"precision": "fp32", "lr": 1e-3}
    given = {name: str(path) for name, path in folders.items()}
    trained = {"model": "train.sft", "preferences": given["preferences"]}
    settings = {
        "train.sft": {
            **small, "lr": 5e-3, "epochs": 10, "batch": 4, "max_tokens": 8,
            "inputs": {"model": given["base"], "chats": given["chats"]},
        },
        "train.reward": {**small, "inputs": trained},
        "train.dpo": {**small, "beta": 0.1, "inputs": trained},
        "train.ppo": {
            **small, "iterations": 1, "rollouts": 8, "max_tokens": 8, "questions": 4,
            "inputs": {"model": "train.sft", "chats": given["chats"]},
        },
        "study.alignment": {
            "prompts": 6, "samples": 2, "max_tokens": 8, "strengths": {"best_of_n": [2]},
            "side_by_side": 3, **study,
            "inputs": {
                "base": given["base"], "sft": "train.sft", "chats": given["chats"],
                "preferences": given["preferences"],
            },
        },
    }  # fmt: skip
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return load_recipe(str(file))


def test_every_method_is_compared_and_what_the_recipe_has_is_not_trained_again(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    steps = run_recipe(recipe(folders, tmp_path), Workspace.at(tmp_path / "w"))
    names = [step.node.name for step in steps]
    assert names == [
        "train.sft", "train.reward", "train.dpo", "train.ppo", "train.reward@direct",
        "train.sft@chosen", "train.ppo@ppo_direct", "study.alignment",
    ]  # fmt: skip
    study = steps[-1].artifact
    shown = study.read_json("presentation.json")
    for method in ("sft", "chosen", "dpo", "ppo", "ppo_direct", "best_of_n"):
        for key in ("gold", "proxy", "kl", "length", "distinct"):
            assert f"alignment.{method}.{key}" in shown["figures"], (method, key)
        # SFT does not win against its own answers, but its second ones may.
        against = "sft.drawn_again" if method == "sft" else method
        assert f"alignment.{against}.win_rate" in shown["figures"], method
    assert "alignment.sft.win_rate" not in shown["figures"]
    dpo, sft = (shown["figures"][f"alignment.{name}.gold"]["value"] for name in ("dpo", "sft"))
    gain = shown["figures"]["alignment.dpo.gold_gain"]["value"]
    assert gain == pytest.approx(dpo - sft)
    # What was drawn again is no method.
    assert study.manifest.counts["methods"] == 6
    assert shown["figures"]["alignment.ppo.models"]["value"] == 4
    assert shown["figures"]["alignment.dpo.models_training"]["value"] == 1
    assert shown["figures"]["alignment.base.asks_on"]["n"] == 6
    [beside] = shown["samples"]
    assert len(beside["rows"]) == 3
    assert list(beside["rows"][0]) == ["question", "base", "sft", "dpo", "ppo"]
    results = study.read_json("alignment.json")
    assert results["best"]["artifact"] in {step.artifact.name for step in steps}
    # What PPO cost holds the reward model, not the SFT model that all begin with.
    by_name = {step.node.name: step.artifact for step in steps}
    sft = by_name["train.sft"]
    cost = cost_since(by_name["train.ppo"], sft.content)
    parts = [by_name[n].manifest.cpu_seconds for n in ("train.ppo", "train.reward")]
    assert cost == pytest.approx(sum(parts))
    assert cost_since(by_name["train.dpo"], sft.content) == pytest.approx(
        by_name["train.dpo"].manifest.cpu_seconds
    )


@pytest.mark.parametrize(
    ("base", "assistant", "said"),
    [
        (0, 0, "Of 100 questions neither the base model nor the assistant met one with another"),
        (0.4, 0, "The base model met 40% of 100 questions with another question, the assistant n"),
        (
            0,
            0.02,
            "The base model met none of 100 questions with another question, the assistant 2",
        ),
    ],
)
def test_asking_on_in_words(base: float, assistant: float, said: str) -> None:
    assert _asking_on(Figure(base, n=100), Figure(assistant, n=100)).startswith(said)


def test_strengths_and_seeds_ask_for_a_training_each(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    found = recipe(
        folders, tmp_path, seeds=2, methods=["dpo", "ppo"],
        strengths={"dpo": [0.1, 1.0], "ppo": [0.5]},
    )  # fmt: skip
    asked = [node for node in found.nodes if node.asked_by == "study.alignment"]
    # beta 0.1 with the recipe's seed is the recipe's own stage.
    assert [node.name for node in asked] == [
        "train.dpo@dpo-beta0.1-seed1", "train.dpo@dpo-beta1-seed0", "train.dpo@dpo-beta1-seed1",
        "train.ppo@ppo-beta0.5-seed0", "train.ppo@ppo-beta0.5-seed1",
    ]  # fmt: skip
    assert found.node("study.alignment").wires["models"][0] == "train.dpo"
    assert {node.seed for node in asked} == {0, 1}
    assert found.node("train.ppo@ppo-beta0.5-seed1").config.target_kl is None  # type: ignore


def test_too_few_questions_are_named(
    folders: dict[str, Path], tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    talk = tmp_path / "chats"
    write_records(talk / "train.jsonl", chats(8, "train"))
    write_records(talk / "prompts.jsonl", chats(8, "prompts"))
    write_records(talk / "heldout.jsonl", chats(1, "heldout"))
    given = {**folders, "chats": seal(talk, "chats", "x").path}
    with pytest.raises(GristmillError, match=r"too few questions.*"):
        run_recipe(recipe(given, tmp_path, methods=["best_of_n"]), Workspace.at(tmp_path / "w"))


def test_a_direct_reward_measures_by_the_number_behind_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    found = recipe(folders, tmp_path, methods=["best_of_n"])
    settings = {**found.settings}
    settings["train.reward"] = {**settings["train.reward"], "loss": "direct"}
    settings = {k: v for k, v in settings.items() if k not in ("train.ppo", "train.dpo")}
    steps = run_recipe(check_recipe(settings, "here"), Workspace.at(tmp_path / "w"))
    figures = steps[-1].artifact.read_json("presentation.json")["figures"]
    # Twelve answers with +1 or -1 each would have a mean of a whole number of twelfths.
    twelfths = 12 * figures["alignment.sft.proxy"]["value"]
    assert abs(twelfths - round(twelfths)) > 1e-4
