"""`train reward` and `train dpo` from artifacts to folders that load, again and stopped between."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gristmill.align.chats import Answer, Preference, read_preferences, write_records
from gristmill.align.dpo import Dpo, DpoSource
from gristmill.align.dpo_evaluation import DpoEvaluation
from gristmill.align.pair_rows import SIDES, encode_pairs
from gristmill.align.reward import RewardModel
from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_file
from gristmill.core.errors import GristmillError, Retryable
from gristmill.core.figure import Figure
from gristmill.model.lora import load_adapter
from gristmill.model.lstm import LstmConfig, LstmModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model, save_model
from gristmill.stages.train_dpo import TrainDpoConfig, _present, train_dpo
from gristmill.stages.train_reward import TrainRewardConfig, train_reward
from gristmill.stages.train_sft import TrainSftConfig, train_sft
from gristmill.stages.tuning import LoraConfig
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges
from gristmill.train import trainer
from gristmill.train.metrics import read_metrics
from gristmill.train.trainer import Trainer

DPO = TrainDpoConfig(lr=2e-3, batch=8, micro_batch=3, precision="fp32")
REWARD = TrainRewardConfig(lr=3e-3, batch=8, micro_batch=4, precision="fp32")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> Artifact:
    folder = tmp_path_factory.mktemp("assistant")
    tokenizer = Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))
    made = Transformer(
        TransformerConfig(
            tokenizer.vocab_size, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
            mlp_width=64, context=48,
        )
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    tokenizer.save(folder)
    save_model(folder, made, folder)
    ChatFormat.native(tokenizer).save(folder)
    return seal(folder, "model", "x")


def records(count: int, seed: int) -> list[Preference]:
    rng = random.Random(seed)
    return [
        Preference(
            f"{seed}-{number}", (Message("user", "".join(rng.choices("bcd", k=3))),),
            Answer("a" * rng.randint(1, 12)), Answer("z" * rng.randint(1, 12)),
            group=str(number % 20), baseline=rng.choice(["chosen", "rejected"]),
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def preferences(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> Artifact:
    folder = tmp_path_factory.mktemp("preferences")
    write_records(folder / "train.jsonl", records(160, 0))
    with open(folder / "train.jsonl", "a", encoding="utf-8") as file:
        file.write("no record\n")
        long = {"messages": [{"role": "user", "content": "q" * 60}]}
        file.write(json.dumps({**long, "chosen": "a", "rejected": "b"}) + "\n")
    write_records(folder / "heldout.jsonl", records(40, 1))
    return seal(folder, "preferences", "x")


def figures(artifact: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = artifact.read_json("presentation.json")["figures"]
    return found


@pytest.mark.parametrize("rank", [0, 4])
def test_dpo_makes_a_model_that_prefers(
    model: Artifact, preferences: Artifact, tmp_path: Path, rank: int
) -> None:
    config = DPO.model_copy(update={"lora": LoraConfig(rank=rank), "lr": 1e-2 if rank else 2e-3})
    made = train_dpo.run(
        config, {"model": model, "preferences": preferences}, Workspace.at(tmp_path)
    )
    found = figures(made)
    assert found["dpo.margin.before"]["value"] == 0.0
    assert found["dpo.margin.after"]["low"] > 0.0
    assert found["dpo.accuracy"]["value"] > 0.8 and found["dpo.accuracy"]["n"] == 40
    assert "dpo.chosen_log_probability" in found and "dpo.rejected_log_probability" in found
    steps = read_metrics(made.file("metrics.jsonl"))
    assert steps[0]["margin"] == 0.0 and len(steps) == 20
    training = made.read_json("training.json")
    assert training["method"] == "dpo" and training["models_held"] == 1
    assert training["strength"] == {"beta": DPO.beta} and training["base_content"] == model.content
    assert made.manifest.kind == "model" and made.manifest.counts["rejected"] == 2
    assert (made.path / "rejects/preferences.jsonl").is_file()
    assert made.file("chat.json").is_file() and made.manifest.files["metrics.jsonl"].volatile
    # What was saved is what was judged: plain weights, with the tokenizer and the chat format.
    policy = load_model(made.path)
    assert ChatFormat.load(made.path, Tokenizer.load(made.path)).end_id
    if rank:
        adapted = load_model(model.path)
        load_adapter(made.path / "adapter", adapted)
        tokens_BT = torch.arange(20).view(1, 20)
        with torch.no_grad():
            assert torch.allclose(policy(tokens_BT), adapted(tokens_BT), atol=1e-5)


def test_dpo_asks_for_its_check_and_says_where_the_chosen_went(
    model: Artifact, preferences: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}

    class Noting(Trainer):
        def __init__(self, run: Any, **parts: Any) -> None:
            made.update(parts)
            super().__init__(run, **parts)

    monkeypatch.setattr(trainer, "Trainer", Noting)
    config = DPO.model_copy(
        update={"form": "length_normalised", "beta": 5.0, "label_smoothing": 0.2, "sft_weight": 0.3}
    )
    train_dpo.run(config, {"model": model, "preferences": preferences}, Workspace.at(tmp_path))
    assert [check.name for check in made["checks"]] == ["DPO starts at log 2"]
    assert made["objective"] == Dpo(5.0, "length_normalised", 0.2, 0.3)

    class Shown:
        def __init__(self) -> None:
            self.figures: dict[str, Figure] = {}
            self.tables: list[Any] = []
            self.notes: list[str] = []

    def judged(chosen: float) -> DpoEvaluation:
        low, high = Figure(chosen, chosen - 1, chosen + 1, 9), Figure(-8.0, -9.0, -7.0, 9)
        return DpoEvaluation(Figure(3.0), Figure(0.9), Figure(-20.0), Figure(-40.0), low, high)

    fell, rose = Shown(), Shown()
    _present(judged(0.0), judged(-4.0), fell)  # type: ignore[arg-type]
    _present(judged(0.0), judged(4.0), rose)  # type: ignore[arg-type]
    assert fell.figures["dpo.chosen_log_probability"].value == -4.0
    assert fell.figures["dpo.rejected_log_probability"].value == -8.0
    assert "less likely by 4.00 nats" in fell.notes[0] and not rose.notes


@pytest.mark.parametrize("loss", ["bradley_terry", "direct"])
def test_a_reward_model_is_made_and_judged(
    model: Artifact, preferences: Artifact, tmp_path: Path, loss: str
) -> None:
    config = REWARD.model_copy(update={"loss": loss})
    made = train_reward.run(
        config, {"model": model, "preferences": preferences}, Workspace.at(tmp_path)
    )
    found = figures(made)
    assert found["reward.accuracy"]["low"] > 0.6
    assert {"reward.ece", "reward.spread", "reward.accuracy.longer"} <= set(found)
    said = made.read_json("reward.json")
    assert said["form"] == loss and said["deviation"] > 0 and said["n"] > 100
    assert made.read_json("training.json")["method"] == "reward"
    assert made.read_json("training.json")["steps"] == 20  # 160 pairs in eights: one epoch
    titles = [chart["title"] for chart in made.read_json("presentation.json")["charts"]]
    assert titles == ["Loss of the reward model", "Reliability of the reward model"]
    chat = ChatFormat.load(made.path, Tokenizer.load(made.path))
    scores = RewardModel.load(made.path).score(
        [[*chat.prompt([Message("user", "bcd")]), *chat.answer(text)] for text in ("aaaa", "zzzz")]
    )
    assert scores[0] > scores[1]
    # The answers that it learnt from, both sides, have mean 0 and deviation 1.
    learnt, _ = read_preferences(preferences.path / "train.jsonl")
    pairs, _, _ = encode_pairs(learnt, chat, 48)
    reward = RewardModel.load(made.path)
    both = sorted({pair.conversation(side) for pair in pairs for side in SIDES})
    shaped = reward.shaped(reward.raw(both))
    assert said["n"] == len(both)
    assert shaped.mean() == pytest.approx(0.0, abs=1e-4)
    assert shaped.std() == pytest.approx(1.0, abs=1e-4)


def test_a_reward_model_by_adapters(model: Artifact, preferences: Artifact, tmp_path: Path) -> None:
    config = REWARD.model_copy(update={"lora": LoraConfig(rank=4), "lr": 1e-2})
    made = train_reward.run(
        config, {"model": model, "preferences": preferences}, Workspace.at(tmp_path)
    )
    assert figures(made)["reward.accuracy"]["value"] > 0.6
    assert (made.path / "adapter/adapter_config.json").is_file()
    assert RewardModel.load(made.path).form == "bradley_terry"


def test_a_stopped_dpo_goes_on_to_the_same_weights(
    model: Artifact, preferences: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"model": model, "preferences": preferences}
    straight = train_dpo.run(DPO, inputs, Workspace.at(tmp_path / "straight"))
    real = DpoSource.next
    drawn = 0

    def interrupted(source: DpoSource, moment: Any) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn == 9:
            signal.raise_signal(signal.SIGINT)
        return real(source, moment)

    monkeypatch.setattr(DpoSource, "next", interrupted)
    workspace = Workspace.at(tmp_path / "cut")
    with pytest.raises(Retryable, match="SIGINT stopped the training after step 9 of 20"):
        train_dpo.run(DPO, inputs, workspace)
    resumed = train_dpo.run(DPO, inputs, workspace)
    assert drawn == 20
    name = "model.safetensors"
    assert hash_file(straight.file(name)) == hash_file(resumed.file(name))
    assert figures(straight) == figures(resumed) and straight.content == resumed.content


def test_without_a_held_out_file_groups_are_held_out(
    model: Artifact, tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    (tmp_path / "mine").mkdir()
    write_records(tmp_path / "mine/train.jsonl", records(100, 0))
    mine = seal(tmp_path / "mine", "preferences", "x")
    config = REWARD.model_copy(update={"heldout_share": 0.2})
    made = train_reward.run(config, {"model": model, "preferences": mine}, Workspace.at(tmp_path))
    assert made.manifest.counts["heldout"] == 20 and made.manifest.counts["pairs"] == 80
    (tmp_path / "few").mkdir()
    write_records(tmp_path / "few/train.jsonl", records(1, 0))
    few = seal(tmp_path / "few", "preferences", "x")
    with pytest.raises(GristmillError, match="no pair is left to hold out"):
        train_reward.run(REWARD, {"model": model, "preferences": few}, Workspace.at(tmp_path))


def test_adapters_on_an_lstm_are_refused_before_anything_is_read(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    tokenizer = Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))
    lstm = LstmModel(LstmConfig(tokenizer.vocab_size, width=16, layers=1, hidden=16, context=48))
    lstm.init_weights(0)
    tokenizer.save(tmp_path / "lstm")
    save_model(tmp_path / "lstm", lstm, tmp_path / "lstm")
    ChatFormat.native(tokenizer).save(tmp_path / "lstm")
    model, lora = seal(tmp_path / "lstm", "model", "x"), LoraConfig(rank=4)
    # Nothing can be learnt from these, which is what would be said if they were read first.
    (tmp_path / "nothing").mkdir()
    for split in ("train", "heldout"):
        (tmp_path / "nothing" / f"{split}.jsonl").write_text("no record\n", encoding="utf-8")
    for stage, config, slot in (
        (train_sft, TrainSftConfig(lora=lora), "chats"),
        (train_dpo, DPO.model_copy(update={"lora": lora}), "preferences"),
    ):
        inputs = {"model": model, slot: seal(tmp_path / "nothing", slot, "x")}
        with pytest.raises(GristmillError, match="an adapter needs a transformer"):
            stage.run(config, inputs, Workspace.at(tmp_path / "w"))
