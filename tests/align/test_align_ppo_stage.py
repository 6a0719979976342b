"""`train ppo` from artifacts to a folder that chats; with adapters; stopped and resumed."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gristmill.align import checks
from gristmill.align.chats import Chat, read_chats, write_records
from gristmill.align.ppo import PpoSettings
from gristmill.align.ppo_source import PpoSource
from gristmill.align.reward import Normalisation, RewardModel
from gristmill.core.artifact import Artifact
from gristmill.core.canonical import hash_file
from gristmill.core.errors import Retryable
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model, save_model
from gristmill.stages.train_ppo import TrainPpoConfig, _value_model, train_ppo
from gristmill.stages.tuning import LoraConfig
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.vocabulary import SPECIAL_TOKENS, from_merges
from gristmill.train import trainer
from gristmill.train.metrics import read_metrics
from gristmill.train.trainer import Trainer

CONFIG = TrainPpoConfig(
    iterations=3, rollouts=16, max_tokens=12, questions=20, lr=3e-3, value_lr=3e-3, value_warmup=0,
    target_kl=1.0, micro_batch=5,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> dict[str, Artifact]:
    """An assistant of bytes, a reward model with random weights, and prompts."""
    root = tmp_path_factory.mktemp("inputs")
    tokenizer = Tokenizer(from_merges([], SPECIAL_TOKENS, "gpt4"))
    model = Transformer(
        TransformerConfig(
            tokenizer.vocab_size, width=32, layers=2, heads=2, kv_heads=1, head_dim=16,
            mlp_width=64, context=48,
        )
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    for name in ("model", "reward", "direct", "chats"):
        (root / name).mkdir()
    tokenizer.save(root / "model")
    save_model(root / "model", model, root / "model")
    ChatFormat.native(tokenizer).save(root / "model")
    scalar = ScalarModel.from_transformer(model, 3)
    RewardModel(scalar, "bradley_terry", Normalisation(0.1, 2.0, 9)).save(root / "reward")
    RewardModel(scalar, "direct").save(root / "direct")
    rng = random.Random(0)
    for split, count in (("prompts", 40), ("heldout", 30)):
        chats = [
            Chat(f"{split}-{n}", (
                Message("user", "".join(rng.choices("bcd", k=3))), Message("assistant", "a"),
            ))
            for n in range(count)
        ]  # fmt: skip
        long = (Message("user", "q" * 60), Message("assistant", "a"))
        write_records(root / "chats" / f"{split}.jsonl", [*chats, Chat("long", long)])
    kinds = {"model": "model", "reward": "reward", "direct": "reward", "chats": "chats"}
    return {name: seal(root / name, kind, "x") for name, kind in kinds.items()}


def chosen(inputs: dict[str, Artifact], reward: str = "reward") -> dict[str, Artifact]:
    return {"model": inputs["model"], "reward": inputs[reward], "chats": inputs["chats"]}


@pytest.mark.parametrize(("rank", "reward"), [(0, "reward"), (4, "direct")])
def test_it_writes_an_assistant_with_its_figures(
    inputs: dict[str, Artifact], tmp_path: Path, rank: int, reward: str
) -> None:
    config = CONFIG.model_copy(update={"lora": LoraConfig(rank=rank)})
    made = train_ppo.run(config, chosen(inputs, reward), Workspace.at(tmp_path))
    training = made.read_json("training.json")
    assert training["method"] == ("ppo_direct" if reward == "direct" else "ppo")
    assert training["strength"] == {"beta": 0.1, "target_kl": 1.0}
    assert training["models_held"] == (3 if rank else 4)
    assert training["steps"] == 12 and training["kl_estimator"] == "k1"
    model = load_model(made.path)
    ChatFormat.load(made.path, Tokenizer.load(made.path))
    base = load_model(inputs["model"].path)
    moved = [n for n, t in model.state_dict().items() if not torch.equal(t, base.state_dict()[n])]
    assert moved
    shown = made.read_json("presentation.json")
    figures = shown["figures"]
    for name in ("reward.before", "reward.after", "reward.gain", "kl"):
        figure = figures[f"ppo.{name}"]
        assert figure["low"] <= figure["value"] <= figure["high"] and figure["n"] == 20
    assert figures["ppo.reward.gain"]["value"] == pytest.approx(
        figures["ppo.reward.after"]["value"] - figures["ppo.reward.before"]["value"]
    )
    assert figures["ppo.kl"]["value"] > 1e-3
    # The questions are the held-out ones.
    chat_format = ChatFormat.load(made.path, Tokenizer.load(made.path))
    heldout, _ = read_chats(inputs["chats"].path / "heldout.jsonl")
    asked = [
        chat_format.tokenizer.decode(chat_format.prompt(chat.prompt), skip_special=True)
        for chat in heldout[:10]
    ]
    assert [row["prompt"] for row in shown["samples"][0]["rows"]] == asked
    assert figures["ppo.beta"]["value"] == training["beta"] != 0.1
    assert 0.0 <= figures["ppo.ended"]["value"] <= 1.0
    assert len(shown["charts"]) == 5 and len(shown["samples"][0]["rows"]) == 10
    assert made.manifest.counts["prompts"] == 40  # the one without room is a reject
    assert made.file("rejects/prompts.jsonl").read_text(encoding="utf-8").count("\n") == 1
    assert made.manifest.files["metrics.jsonl"].volatile
    scores = [r["score"] for r in read_metrics(made.file("metrics.jsonl")) if "score" in r]
    assert len(scores) == 3
    if reward == "direct":
        # Each of 16 answers counts +1 or -1, unended ones -1 too.
        assert all(-1 <= score <= 1 and (16 * score) % 2 == 0 for score in scores)


def test_the_stage_asks_for_the_checks_and_the_papers_settings(
    inputs: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}

    class Noting(Trainer):
        def __init__(self, run: Any, **parts: Any) -> None:
            made.update(parts)
            super().__init__(run, **parts)

    monkeypatch.setattr(trainer, "Trainer", Noting)
    given = {"ratio_clip": 0.11, "value_clip": 0.12, "gamma": 0.97, "lam": 0.9, "kl": "k3"}
    config = CONFIG.model_copy(update={**given, "iterations": 1})
    train_ppo.run(config, chosen(inputs), Workspace.at(tmp_path))
    assert {check.name for check in made["checks"]} == {checks.FIRST_RATIO, checks.NO_DROPOUT}
    settings = made["objective"].settings
    assert (settings.clip, settings.value_clip) == (0.11, 0.12)
    assert (settings.gamma, settings.lam, settings.kl) == (0.97, 0.9, "k3")
    assert settings.missing_end_score == -3.0
    for role in ("policy", "value"):
        assert made["optimizers"][role]._adamw.defaults["eps"] == 1e-5, role


def test_the_papers_defaults() -> None:
    config = TrainPpoConfig()
    assert (config.ratio_clip, config.value_clip, config.gamma, config.lam) == (0.2, 0.2, 1.0, 0.95)
    settings = PpoSettings()
    assert (settings.clip, settings.value_clip, settings.gamma, settings.lam) == (
        0.2, 0.2, 1.0, 0.95,
    )  # fmt: skip
    assert config.kl == settings.kl == "k1" and config.temperature == settings.temperature == 1.0


def test_the_value_model_speaks_in_the_scale_of_the_rewards(inputs: dict[str, Artifact]) -> None:
    reward = RewardModel.load(inputs["reward"].path)
    tokens_BT = torch.arange(12).view(2, 6)
    raw_BT = reward.model(tokens_BT).detach()
    assert torch.allclose(_value_model(reward)(tokens_BT), raw_BT / 2.0, atol=1e-6)
    assert torch.equal(reward.model(tokens_BT), raw_BT)  # a copy


def test_a_stopped_stage_goes_on_to_the_same_artifact(
    inputs: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train_ppo.run(CONFIG, chosen(inputs), Workspace.at(tmp_path / "straight"))
    real, drawn = PpoSource.next, 0

    def interrupted(source: PpoSource, moment: Any) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn == 6:
            signal.raise_signal(signal.SIGINT)
        return real(source, moment)

    monkeypatch.setattr(PpoSource, "next", interrupted)
    workspace = Workspace.at(tmp_path / "cut")
    with pytest.raises(Retryable, match="after step 6 of 12"):
        train_ppo.run(CONFIG, chosen(inputs), workspace)
    resumed = train_ppo.run(CONFIG, chosen(inputs), workspace)
    assert drawn == 12
    name = "model.safetensors"
    assert hash_file(straight.file(name)) == hash_file(resumed.file(name))
    assert straight.content == resumed.content
