"""What `evaluate judge` writes down: battles, agreement with ties, questions once, intervals."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gristmill.core.artifact import Artifact
from gristmill.core.run import Run
from gristmill.evaluate.agreement import bootstrap_mean
from gristmill.evaluate.arena import read_battles
from gristmill.evaluate.judge import JudgePair, Verdict, against_baseline, judge_both_orders
from gristmill.stages.evaluate_judge import JudgeConfig, evaluate_judge
from gristmill.stages.judging_results import tell_figures
from gristmill.stages.stage import Execution, Output, config_identity
from gristmill.stages.workspace import Workspace

Seal = Callable[[Path, str, str], Artifact]


def answers(folder: Path, seal: Seal, said: Sequence[str]) -> Artifact:
    """Answers to the questions 0, 1, ...; the first stands in the file twice."""
    folder.mkdir()
    records = [
        {"id": str(number), "messages": [{"role": "user", "content": f"What is {number}?"}],
         "kind": "description", "answers": [text], "truth": {"description": "Water"}}
        for number, text in enumerate(said)
    ]  # fmt: skip
    lines = [json.dumps(record) + "\n" for record in [*records, records[0]]]
    (folder / "heldout.jsonl").write_text("".join(lines), encoding="utf-8")
    return seal(folder, "answers", "align.sample")


@pytest.fixture
def judged(tmp_path: Path, seal: Seal) -> Artifact:
    """Judged by length: the model wins, loses, ties, and wins again."""
    (tmp_path / "longer.py").write_text("def rule(answer, chat):\n    return len(answer.content)\n")
    labels = tmp_path / "labels.jsonl"
    battles = [
        {"model_a": "m", "model_b": "n", "winner": winner, "prompt": f"q{number}",
         "answer_a": "yes", "answer_b": "no"}
        for number, winner in enumerate(("tie", "both_bad", "tie", "a"))
    ]  # fmt: skip
    labels.write_text("".join(json.dumps(battle) + "\n" for battle in battles), encoding="utf-8")
    return evaluate_judge.run(
        JudgeConfig(
            by="rule", rule=f"{tmp_path / 'longer.py'}:rule", names=("model", "base"),
            labels_file=(str(labels),),
        ),
        {
            "models": answers(tmp_path / "model", seal, ["long one", "x", "even", "longest"]),
            "baseline": answers(tmp_path / "base", seal, ["short", "longer", "five", "small"]),
        },
        Workspace.at(tmp_path / "w"),
    )  # fmt: skip


def test_who_won_stands_in_the_battles(judged: Artifact) -> None:
    battles, rejects = read_battles(judged.file("battles.jsonl"))
    assert not rejects
    assert {(one.model_a, one.model_b) for one in battles} == {("base", "model")}
    assert [one.winner for one in battles] == ["b", "a", "tie", "b"]
    assert (battles[1].answer_a, battles[1].answer_b) == ("longer", "x")


def test_a_question_that_stands_twice_is_judged_once(judged: Artifact) -> None:
    assert judged.manifest.counts["prompts"] == 4
    lines = judged.file("judgements.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["0", "1", "2", "3"]


def test_a_tie_of_people_decides_nothing(judged: Artifact) -> None:
    found = judged.read_json("results.json")["agreement"]["labels"]
    # Rows: the label says win, tie, loss.
    assert [sum(row) for row in found["confusion"]][1] == 3
    assert found["accuracy"]["n"] == 1 and found["accuracy"]["value"] == 1.0


def test_who_pays_and_how_fast_is_no_part_of_a_judgement() -> None:
    config = JudgeConfig(endpoint="http://127.0.0.1:1/v1", endpoint_model="m")
    identity = config_identity(config)
    for name, value in {
        "endpoint_key": "SOME_KEY", "price_in": 3.0, "price_out": 3.0, "concurrency": 1,
        "timeout": 5.0, "retries": 0, "failed_share": 0.5, "max_rows": 2, "batch_tokens": 64,
    }.items():  # fmt: skip
        assert config_identity(config.model_copy(update={name: value})) == identity, name
    other = config.model_copy(update={"endpoint_model": "other"})
    assert config_identity(other) != identity


class ByTheFirst:
    """Prefers the answer shown first where the number of the question is odd."""

    name = "first"

    def compare(self, pairs: Sequence[JudgePair], progress: object = None) -> list[Verdict]:
        return [
            Verdict(0.0 if int(pair.id) % 2 else float(pair.second.startswith("y")))
            for pair in pairs
        ]


def test_consistency_over_models_is_uncertain_by_prompts(tmp_path: Path) -> None:
    # Five models of one kind: fifty pairs, and no more than ten questions to learn from.
    pairs = [JudgePair(str(number), "q", "x", "y" * (number + 2)) for number in range(10)]
    judged = judge_both_orders(ByTheFirst(), dict.fromkeys("abcde", pairs))
    output = Output(tmp_path, Run(tmp_path / "run"), 0, Execution())
    tell_figures(against_baseline(judged), judged, output)
    alone = bootstrap_mean([float(number % 2 == 0) for number in range(10)], 0)
    told = output.figures["judge.consistency"]
    assert told.value == alone.value == 0.5 and told.n == 50
    assert told.low is not None and alone.low is not None
    assert told.low == pytest.approx(alone.low, abs=0.05)
    many = bootstrap_mean(np.tile([0.0, 1.0], 25), 0)
    assert many.low is not None and told.low < many.low - 0.05
