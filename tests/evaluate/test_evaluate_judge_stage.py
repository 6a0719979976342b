"""`evaluate judge`, `arena import` and `arena rate` with small models and a real local endpoint."""

import contextlib
import json
import math
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from aiohttp import web

from gristmill.align.reward import RewardModel
from gristmill.cli.serve import _Found
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError, Retryable
from gristmill.core.figure import proportion
from gristmill.infer.engine import Engine
from gristmill.infer.text import LocalText, TextGenerator, TextRequest
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_model, save_model
from gristmill.serve.store import Store
from gristmill.stages.arena_import import ArenaImportConfig, arena_import, votes_hash
from gristmill.stages.arena_rate import ArenaRateConfig, arena_rate
from gristmill.stages.evaluate_judge import JudgeConfig, evaluate_judge
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.chat import ChatFormat, Message
from gristmill.tokenizer.tokenizer import Tokenizer
from gristmill.tokenizer.training import train_tokenizer

TEXTS = ["What is a mouse? A small animal. What is a river? Water that flows."] * 3


class World:
    """Three untrained assistants and a base model, a reward model, and questions."""

    def __init__(self, folder: Path, seal: Callable[[Path, str, str], Artifact]):
        self.folder, self.seal = folder, seal
        self.tokenizer = train_tokenizer(TEXTS, 280)
        self.models = {
            name: self.assistant(name, f"train.{name}", seed)
            for seed, name in enumerate(("sft", "dpo", "ppo"))
        }
        self.base = self.assistant("lm", "train.lm", 9, chat=False)
        scalar = ScalarModel.from_transformer(load_model(self.models["sft"].path), 0)
        RewardModel(scalar, "bradley_terry").save(folder / "reward", self.models["sft"].path)
        ChatFormat.native(self.tokenizer).save(folder / "reward")
        self.reward = seal(folder / "reward", "reward", "train.reward")
        (folder / "chats").mkdir()
        with open(folder / "chats" / "heldout.jsonl", "w", encoding="utf-8") as file:
            for number in range(30):
                messages = [
                    {"role": "user", "content": f"What is {number}?"},
                    {"role": "assistant", "content": "Water."},
                ]
                record = {"id": str(number), "messages": messages, "kind": "description",
                          "truth": {"description": "Water.", "title": str(number)}}  # fmt: skip
                file.write(json.dumps(record) + "\n")
        self.chats = seal(folder / "chats", "chats", "align.synthesize")

    def assistant(
        self, name: str, stage: str, seed: int, chat: bool = True, context: int = 2048
    ) -> Artifact:
        config = TransformerConfig(self.tokenizer.vocab_size, 16, 1, 2, 1, 8, 24, context)
        model = Transformer(config)
        model.init_weights(seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        self.tokenizer.save(self.folder / name)
        save_model(self.folder / name, model)
        if chat:
            ChatFormat.native(self.tokenizer).save(self.folder / name)
        return self.seal(self.folder / name, "model", stage)

    def inputs(self, *models: str, **more: Artifact) -> dict:
        found = [self.base if name == "base" else self.models[name] for name in models]
        return {"models": found, "baseline": self.models["sft"], "chats": self.chats, **more}


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, seal: Callable[[Path, str, str], Artifact]
) -> World:
    return World(tmp_path_factory.mktemp("world"), seal)


@pytest.fixture(scope="module")
def by_reward(world: World, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return evaluate_judge.run(
        JudgeConfig(max_tokens=12, reference="rule", prompts=24),
        world.inputs("base", "dpo", "ppo", reward=world.reward),
        Workspace.at(tmp_path_factory.mktemp("by_reward")),
    )


def figures(artifact: Artifact) -> dict[str, dict]:
    return artifact.read_json("presentation.json")["figures"]


def lines(artifact: Artifact, name: str) -> list[dict]:
    text = artifact.file(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_reward_model_judges_every_model_and_the_rule_is_its_reference(
    by_reward: Artifact,
) -> None:
    found = figures(by_reward)
    for name in ("base", "dpo", "ppo"):
        assert 0 <= found[f"judge.win_rate.{name}"]["value"] <= 1
        assert f"judge.win_rate_lc.{name}" in found
    # A score for each answer by itself is the same in both orders.
    assert found["judge.consistency"]["value"] == 1.0
    judged = lines(by_reward, "judgements.jsonl")
    assert len(judged) == 72 and {one["model"] for one in judged} == {"base", "dpo", "ppo"}
    for name in ("base", "dpo", "ppo"):
        shares = [one["preference"] for one in judged if one["model"] == name]
        assert found[f"judge.win_rate.{name}"]["value"] == pytest.approx(sum(shares) / 24, abs=1e-5)
    rows = by_reward.read_json("annotations/dpo.json")
    assert len(rows) == 24 and all(1 <= row["preference"] <= 2 for row in rows)
    confusion = by_reward.read_json("results.json")["agreement"]["rule"]["confusion"]
    # Equal answers, which no one was asked about, are not agreed on.
    assert sum(map(sum, confusion)) == sum(not one["same"] for one in judged)


def test_a_model_here_judges_by_letters_with_labels_to_agree_with(
    world: World, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.jsonl"
    with open(labels, "w", encoding="utf-8") as file:
        for number in range(8):
            record = {"prompt": f"q{number}", "chosen": "yes", "rejected": "no " * (number + 1)}
            file.write(json.dumps(record) + "\n")
        file.write("torn\n")
    artifact = evaluate_judge.run(
        JudgeConfig(max_tokens=12, prompts=6, labels_file=(str(labels),)),
        world.inputs("dpo", judge=world.models["ppo"]),
        Workspace.at(tmp_path / "ws"),
    )
    found = figures(artifact)
    assert found["judge.agreement"]["n"] == 8
    assert artifact.manifest.counts["labels_rejected"] == 1
    judged = lines(artifact, "judgements.jsonl")
    verdicts = [v for one in judged for v in one["verdicts"]]
    assert all(0 < v["preference_for_second"] < 1 for v in verdicts)
    assert found["judge.tokens"]["value"] > 0


def test_labels_of_people_as_battles_and_as_preferences(world: World, tmp_path: Path) -> None:
    """A judge that likes length, against people who do: every label agrees, on either side."""
    (tmp_path / "longer.py").write_text("def rule(answer, chat):\n    return len(answer.content)\n")
    battles, preferences = [], []
    for n in range(12):
        long, short = "yes " * (n + 2), "no"
        a, b = (long, short) if n % 3 else (short, long)
        battle = {"model_a": "m", "model_b": "n", "winner": "a" if n % 3 else "b",
                  "prompt": f"q{n}", "answer_a": a, "answer_b": b}  # fmt: skip
        battles.append(json.dumps(battle))
        preferences.append(json.dumps({"prompt": f"q{n}", "chosen": long, "rejected": short}))
    for name, rows in (("battles", battles), ("preferences", preferences)):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")
        artifact = evaluate_judge.run(
            JudgeConfig(
                by="rule", rule=f"{tmp_path / 'longer.py'}:rule", max_tokens=4, prompts=4,
                labels_file=(str(file),),
            ),
            world.inputs("dpo"),
            Workspace.at(tmp_path / "ws"),
        )  # fmt: skip
        found = figures(artifact)
        assert found["judge.agreement"]["value"] == 1.0 == found["judge.picks_longer"]["value"]
        # Sides are mixed, or kappa would not be defined.
        assert found["judge.kappa"]["value"] == 1.0


def test_a_judge_that_says_nothing_readable_is_an_error(world: World, tmp_path: Path) -> None:
    small = world.assistant("small", "train.sft", 5, context=128)
    with pytest.raises(GristmillError, match=r"none of .* can be read: a prompt of"):
        evaluate_judge.run(
            JudgeConfig(max_tokens=4, prompts=4),
            world.inputs("dpo", judge=small),
            Workspace.at(tmp_path),
        )


def test_who_judges_must_be_said_once(world: World, tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    with pytest.raises(GristmillError, match="no judge"):
        evaluate_judge.run(JudgeConfig(), world.inputs("dpo"), workspace)
    with pytest.raises(GristmillError, match="two judges"):
        evaluate_judge.run(
            JudgeConfig(by="rule"), world.inputs("dpo", reward=world.reward), workspace
        )
    with pytest.raises(GristmillError, match="nothing to judge"):
        evaluate_judge.run(JudgeConfig(by="rule"), world.inputs("sft"), workspace)


def test_answers_artifacts_and_own_questions(world: World, tmp_path: Path) -> None:
    def answers(name: str, said: str, count: int) -> Artifact:
        (tmp_path / name).mkdir()
        with open(tmp_path / name / "heldout.jsonl", "w", encoding="utf-8") as file:
            for number in range(count):
                record = {"id": str(number), "messages": [{"role": "user", "content": "What?"}],
                          "kind": "description", "answers": [said],
                          "truth": {"description": "Water that flows"}}  # fmt: skip
                file.write(json.dumps(record) + "\n")
        return world.seal(tmp_path / name, "answers", "align.sample")

    good, bad = answers("good", "Water that flows.", 12), answers("bad", "A dry stone.", 9)
    artifact = evaluate_judge.run(
        JudgeConfig(by="rule", names=("good", "bad")),
        {"models": good, "baseline": bad},
        Workspace.at(tmp_path / "ws"),
    )
    assert figures(artifact)["judge.win_rate.good"] == pytest.approx(
        {"value": 1.0, "low": proportion(9, 9).low, "high": 1.0, "n": 9}
    )  # what not everyone answered is left out
    own = tmp_path / "own.jsonl"
    own.write_text('{"instruction": "Why?"}\n{"prompt": "How?"}\n{"x": 1}\n', encoding="utf-8")
    artifact = evaluate_judge.run(
        JudgeConfig(max_tokens=4, questions=(str(own),)),
        {**world.inputs("dpo"), "reward": world.reward},
        Workspace.at(tmp_path / "ws"),
    )
    assert artifact.manifest.counts["prompts"] == 2
    assert artifact.manifest.counts["questions_rejected"] == 1


class JudgeServer:
    """Judges over HTTP: whoever says more wins; it fails while `broken`."""

    def __init__(self, serve_app: Callable[[web.Application], int]) -> None:
        self.asked = 0
        self.broken_after: int | None = None
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._judge)
        self.url = f"http://127.0.0.1:{serve_app(app)}/v1"

    async def _judge(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.broken_after is not None and self.asked >= self.broken_after:
            return web.Response(status=503)
        self.asked += 1
        _, _, rest = body["messages"][-1]["content"].partition("[answer A ")
        first, _, second = rest.partition("[answer B ")
        said = f"Length decides.\nVerdict: {'A' if len(first) > len(second) else 'B'}"
        choice = {"message": {"content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return web.json_response({"choices": [choice], "usage": usage})


@pytest.fixture
def judge_server(serve_app: Callable[[web.Application], int]) -> JudgeServer:
    return JudgeServer(serve_app)


def test_an_endpoint_judges_and_a_resume_pays_once(
    world: World, judge_server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-1")
    config = JudgeConfig(
        max_tokens=12, prompts=10, endpoint=judge_server.url,
        endpoint_model="longest", endpoint_key="JUDGE_KEY", retries=0, price_in=5.0,
        price_out=20.0, concurrency=2,
    )  # fmt: skip
    workspace = Workspace.at(tmp_path / "ws")
    judge_server.broken_after = 7
    with pytest.raises(Retryable, match="goes on from here"):
        evaluate_judge.run(config, world.inputs("dpo"), workspace)
    assert judge_server.asked == 7 and not workspace.artifacts()
    judge_server.broken_after = None
    artifact = evaluate_judge.run(config, world.inputs("dpo"), workspace)
    verdicts = sum(len(one["verdicts"]) for one in lines(artifact, "judgements.jsonl"))
    assert judge_server.asked == verdicts > 0
    found = figures(artifact)
    assert found["judge.cost"]["value"] == pytest.approx(verdicts * (100 * 5 + 10 * 20) / 1e6)
    everything = [p.read_bytes() for p in (tmp_path / "ws").rglob("*") if p.is_file()]
    assert not any(b"sk-secret-1" in data for data in everything)
    # Other prices are not another judgement: it is found, and nobody is asked.
    again = evaluate_judge.run(
        config.model_copy(update={"price_in": 1.0}), world.inputs("dpo"), workspace
    )
    assert again.name == artifact.name and judge_server.asked == verdicts


def test_battles_without_answers_are_counted_among_the_rejected_labels(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "battles.jsonl"
    whole = {"model_a": "x", "model_b": "y", "winner": "a", "prompt": "Why?"}
    said = {"answer_a": "because", "answer_b": "so it is"}
    rows = [{**whole, **said, "id": str(n)} for n in range(4)]
    rows += [{**whole, "id": "bare"}, {**whole, "id": "half", "answer_a": "because"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    artifact = evaluate_judge.run(
        JudgeConfig(max_tokens=12, prompts=6, labels_file=(str(file),)),
        world.inputs("dpo", reward=world.reward),
        Workspace.at(tmp_path / "ws"),
    )
    assert figures(artifact)["judge.agreement"]["n"] == 4
    assert artifact.manifest.counts["labels_rejected"] == 2
    rejected = lines(artifact, "rejects/labels.jsonl")
    assert [one["where"] for one in rejected] == ["bare", "half"]


def test_judgements_become_ratings(by_reward: Artifact, tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    battles = arena_import.run(ArenaImportConfig(), {"judgements": by_reward}, workspace)
    assert battles.manifest.counts["battles"] == 72
    rated = arena_rate.run(ArenaRateConfig(prior=0.5, orders=10), {"battles": battles}, workspace)
    found = figures(rated)
    assert {f"arena.rating.{name}" for name in ("base", "dpo", "ppo", "sft")} <= set(found)
    assert found["arena.battles"]["value"] == 72
    with pytest.raises(GristmillError, match="no battles by person"):
        arena_rate.run(ArenaRateConfig(judges=("person",)), {"battles": battles}, workspace)


def test_votes_and_judgements_are_of_the_same_models(
    world: World, by_reward: Artifact, tmp_path: Path
) -> None:
    workspace = Workspace.at(tmp_path / "w")
    lie = {
        "train.lm": world.base,
        "train.sft": world.models["sft"],
        "train.dpo": world.models["dpo"],
    }
    workspace.artifacts_folder.mkdir()
    for one in lie.values():
        (workspace.artifacts_folder / one.path.name).symlink_to(one.path)
    names = {node: one.path.name for node, one in lie.items()}
    (workspace.path / "nodes.json").write_text(json.dumps(names), encoding="utf-8")
    served = {one.name: one.fingerprint for one in _Found(workspace, []).models()}
    assert set(served) == {"base", "sft", "dpo"}
    store = Store.open(tmp_path / "store.sqlite")
    for number in range(12):
        battle = store.begin_battle(served, f"q{number}")
        store.answered(battle.id, "one", "two")
        store.vote(battle.id, "a" if number % 2 else "b")
    store.close()
    config = ArenaImportConfig(store=str(tmp_path / "store.sqlite"))
    battles = arena_import.run(config, {"judgements": by_reward}, workspace)
    rated = arena_rate.run(ArenaRateConfig(prior=0.5, orders=5), {"battles": battles}, workspace)
    found = {one["model"] for one in rated.read_json("ratings.json")["models"]}
    assert found == {"base", "sft", "dpo", "ppo"}
    (said,) = rated.read_json("presentation.json")["notes"]
    assert "12 votes of people and 72 battles judged by reward" in said


def test_votes_of_the_store_and_files_become_ratings(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.sqlite")
    for number in range(6):
        battle = store.begin_battle(["left", "right"], f"q{number}")
        store.answered(battle.id, "one", "two")
        store.vote(battle.id, "a" if number % 3 else "tie")
    file = tmp_path / "more.jsonl"
    line = '{"id": "x", "model_a": "left", "model_b": "<b>[red]", "winner": "model_a"}\n'
    file.write_text(line + line + "{}\n", encoding="utf-8")
    workspace = Workspace.at(tmp_path / "ws")
    config = ArenaImportConfig(store=str(tmp_path / "store.sqlite"), files=(str(file),))
    battles = arena_import.run(config, {}, workspace)
    assert battles.manifest.counts == {"rejected": 2, "battles": 7, "models": 3}
    rated = arena_rate.run(ArenaRateConfig(orders=5), {"battles": battles}, workspace)
    models = {one["model"]: one for one in rated.read_json("ratings.json")["models"]}
    assert models["<b>[red]"]["bound"] == "below" and models["<b>[red]"]["rating"] is None
    note = rated.read_json("presentation.json")["tables"][0]["note"]
    assert "<b>[red] is unbounded: it never won" in note
    assert arena_import.run(config, {}, workspace).name == battles.name
    another = store.begin_battle(["left", "right"], "again")
    store.answered(another.id, "one", "two")
    store.vote(another.id, "b")
    assert arena_import.run(config, {}, workspace).manifest.counts["battles"] == 8
    store.close()
    with pytest.raises(GristmillError, match="no battles to import"):
        arena_import.run(ArenaImportConfig(), {}, workspace)


def test_the_identity_of_votes_is_what_they_say_not_how_many_there_are(tmp_path: Path) -> None:
    def store_of(place: str, winners: str) -> Path:
        path = tmp_path / f"{place}.sqlite"
        store = Store.open(path, chance=random.Random(1))
        for number, winner in enumerate(winners):
            battle = store.begin_battle(["left", "right"], f"q{number}")
            store.answered(battle.id, "one", "two")
            store.vote(battle.id, "a" if winner == "a" else "b")
        store.close()
        return path

    first = store_of("first", "ab")
    before = votes_hash(first)
    with contextlib.closing(Store.open(first)) as store:
        # What is no vote counts for nothing.
        open_one = store.begin_battle(["left", "right"], "no vote")
        store.answered(open_one.id, "one", "two")
    assert votes_hash(first) == before
    with contextlib.closing(sqlite3.connect(first)) as connection, connection:
        connection.execute("UPDATE votes SET winner = 'tie' WHERE prompt = 'q1'")
    assert votes_hash(first) != before
    with contextlib.closing(sqlite3.connect(first)) as connection, connection:
        connection.execute("UPDATE votes SET winner = 'b' WHERE prompt = 'q1'")
    assert votes_hash(first) == before
    assert votes_hash(store_of("second", "ab")) != votes_hash(store_of("third", "aab"))


def test_a_local_model_as_a_generator_of_text(world: World) -> None:
    folder = world.models["dpo"].path
    tokenizer = Tokenizer.load(folder)
    chat_format = ChatFormat.load(folder, tokenizer)
    engine = Engine(load_model(folder))
    local = LocalText(engine, tokenizer, chat_format)
    assert isinstance(local, TextGenerator)
    asked = (Message("user", "What is water?"),)
    written, chosen, long = local.answer(
        [
            TextRequest(asked, 5),
            TextRequest(asked, choices=("A", "B")),
            TextRequest((Message("user", "x" * 2600),), 5),
        ]
    )
    assert written.tokens_out == 5 and written.tokens_in == len(chat_format.prompt(asked))
    assert long.finish == "failed" and "no room" in long.error
    ids = chat_format.prompt(asked)
    for letter, log_p in zip("AB", chosen.choice_log_p or (), strict=True):
        (scores,) = engine.score_tokens([[*ids, *tokenizer.encode(letter)]])
        assert log_p == pytest.approx(float(scores[-1]), abs=1e-5)
    assert chosen.text == ("A" if chosen.choice_log_p[0] > chosen.choice_log_p[1] else "B")
    base = LocalText(Engine(load_model(world.base.path)), tokenizer)
    (went_on,) = base.answer([TextRequest(asked, 3)])
    assert went_on.tokens_in == 1 + len(tokenizer.encode("What is water?"))
    assert not math.isnan(went_on.tokens_out or 0)
