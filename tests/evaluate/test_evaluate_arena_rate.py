"""`arena rate`: what it says of places is of people alone, who see a battle on sides drawn."""

import json
from collections.abc import Callable
from pathlib import Path

from gristmill.core.artifact import Artifact
from gristmill.stages.arena_rate import ArenaRateConfig, arena_rate
from gristmill.stages.workspace import Workspace


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
