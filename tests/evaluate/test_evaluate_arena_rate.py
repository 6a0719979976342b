"""`arena rate`: what it says of places is of people alone, who see a battle on sides drawn."""

import json
from collections.abc import Callable
from pathlib import Path

from gristmill.core.artifact import Artifact
from gristmill.stages.arena_rate import ArenaRateConfig, arena_rate
from gristmill.stages.workspace import Workspace

Seal = Callable[[Path, str, str], Artifact]


def test_the_share_of_the_first_place_is_of_people(
    tmp_path: Path, seal: Callable[[Path, str, str], Artifact]
) -> None:
    (tmp_path / "battles").mkdir()
    rows = [
        {"id": f"{judge}{number}", "model_a": "x", "model_b": "y", "winner": winner, "judge": judge}
        for judge, winners in (("person", "abba"), ("reward", "bbbbbbbb"))
        for number, winner in enumerate(winners)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "battles" / "battles.jsonl").write_text(lines, encoding="utf-8")
    battles = seal(tmp_path / "battles", "battles", "arena.import")
    made = arena_rate.run(
        ArenaRateConfig(orders=5), {"battles": battles}, Workspace.at(tmp_path / "w")
    )
    shown = made.read_json("presentation.json")
    share = shown["figures"]["arena.first_share"]
    assert (share["value"], share["n"]) == (0.5, 4)
    assert shown["figures"]["arena.battles"]["value"] == 12
    assert "Battles of several judges are mixed: person, reward." in shown["tables"][0]["note"]


def rated_of(rows: list[dict], folder: Path, seal: Seal, kind: str = "battles") -> Artifact:
    """The ratings of battles given as rows."""
    (folder / "battles").mkdir()
    lines = "".join(json.dumps({"id": str(n), **row}) + "\n" for n, row in enumerate(rows))
    (folder / "battles" / "battles.jsonl").write_text(lines, encoding="utf-8")
    stage = "arena.import" if kind == "battles" else "evaluate.judge"
    battles = seal(folder / "battles", kind, stage)
    return arena_rate.run(
        ArenaRateConfig(orders=5), {"battles": battles}, Workspace.at(folder / "w")
    )


def test_it_says_which_battles_it_rates(tmp_path: Path, seal: Seal) -> None:
    both = [{"model_a": "x", "model_b": "y", "winner": winner} for winner in "ab"]
    judged = [{**row, "judge": "reward"} for row in both]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    votes = rated_of([*both, *judged, judged[0]], tmp_path / "one", seal)
    (said,) = votes.read_json("presentation.json")["notes"]
    assert said == "Rated: 2 votes of people and 3 battles judged by reward (arena import)."
    alone = rated_of(judged, tmp_path / "two", seal, kind="judgement")
    (said,) = alone.read_json("presentation.json")["notes"]
    assert said.startswith(
        "Rated: 2 battles judged by reward (evaluate judge). No vote of a person"
    )


def test_two_trainings_of_one_name_are_rated_apart(tmp_path: Path, seal: Seal) -> None:
    def row(winner: str, a: str, b: str) -> dict:
        found = {"model_a": "sft", "model_b": "dpo", "winner": winner}
        return {**found, "fingerprint_a": a, "fingerprint_b": b}

    old, new, dpo = "a" * 16, "b" * 16, "c" * 16
    rows = [row(w, old, dpo) for w in "aab"] + [row(w, new, dpo) for w in "abbb"]
    rows += [row(w, "", dpo) for w in "ab"]
    made = rated_of(rows, tmp_path, seal)
    models = {one["model"]: one["battles"] for one in made.read_json("ratings.json")["models"]}
    assert models == {"sft#aaaaaa": 3, "sft#bbbbbb": 4, "sft": 2, "dpo": 9}
    note = made.read_json("presentation.json")["tables"][0]["note"]
    assert "sft is the name of several trainings" in note and "(the bare name" in note


def test_votes_without_fingerprints_keep_their_names(tmp_path: Path, seal: Seal) -> None:
    rows = [{"model_a": "x", "model_b": "y", "winner": winner} for winner in "ab"]
    made = rated_of(rows, tmp_path, seal)
    assert {one["model"] for one in made.read_json("ratings.json")["models"]} == {"x", "y"}
    assert "several trainings" not in made.read_json("presentation.json")["tables"][0]["note"]
