"""Documents near a limit, what another limit would do, and how a page stood to every limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gristmill.cli.main import main
from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.data.documents import DocumentSet
from gristmill.data.filters.limits import judged, limit_in, named
from gristmill.data.filters.thresholds import THRESHOLDS
from gristmill.data.near import Near, near, parse_near
from gristmill.data.sources.parts import PartWriter
from gristmill.data.why import explain_page
from gristmill.report.near import near_page
from gristmill.stages.data_filter import FilterConfig, data_filter
from gristmill.stages.stage import Inputs, Output, StageConfig, stage
from gristmill.stages.workspace import Workspace

RULE = "gopher_quality.min_words"
OFF = {"enabled": False}
SETTINGS = {
    "language": OFF, "boilerplate": OFF, "spam": OFF, "gopher_repetition": OFF, "c4": OFF,
    "fineweb": OFF, "personal_data": OFF,
    "gopher_quality": {"min_words": 20, "max_mean_word_length": 6, "min_stop_words": None},
}  # fmt: skip


@stage("data import", version=1, kind="documents", config=StageConfig, inputs={}, summary="",
       example="")  # fmt: skip
def documents_stage(config: StageConfig, inputs: Inputs, output: Output) -> None:
    """Documents of 5 to 44 words; those of an even number have long words from 30 on."""
    writer = PartWriter(output.path)
    for words in range(5, 45):
        word = "remarkable" if words >= 30 and words % 2 == 0 else "plain"
        text = " ".join([word] * words)
        writer.add(f"http://a.example/{words}", text, "test", {"title": f"<b>{words}</b>"})
        if words % 9 == 0:
            writer.end_part()
    writer.end_part()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, Artifact]]:
    workspace = Workspace(tmp_path_factory.mktemp("near"))
    base = documents_stage.run(StageConfig(), {}, workspace)
    found = {"data.import": base}
    for name, stored in (("stored", True), ("bare", False)):
        config = FilterConfig.model_validate({**SETTINGS, "statistics": stored})
        found[name] = data_filter.run(config, {"documents": base}, workspace)
    workspace.name_node("data.import", base)
    workspace.name_node("data.filter@bare", found["bare"])
    workspace.name_node("data.filter", found["stored"])
    return workspace, found


def _near(artifact: Artifact, rule: str = RULE, limit: float | None = None, count: int = 3) -> Near:
    return near(DocumentSet.open(artifact), rule, limit, count=count)


def test_both_sides_nearest_first_as_stored_and_anew(
    made: tuple[Workspace, dict[str, Artifact]],
) -> None:
    stored, bare = _near(made[1]["stored"]), _near(made[1]["bare"])
    assert [one.value for one in stored.failing] == [19, 18, 17]
    assert [one.value for one in stored.passing] == [20, 21, 22]
    assert stored.failing[0].url == "http://a.example/19"
    assert stored.failing[0].reason == "gopher_quality.words" and stored.passing[0].reason == ""
    assert len(stored.failing[0].text.split()) == 19
    assert not stored.recomputed and bare.recomputed
    for name in ("failing", "passing", "moves", "quantiles", "judged"):
        assert getattr(bare, name) == getattr(stored, name)
    assert _near(made[1]["data.import"]).limit == 50  # the default, where no filter ran


def test_what_another_limit_would_do(made: tuple[Workspace, dict[str, Artifact]]) -> None:
    moves = {move.limit: move for move in _near(made[1]["stored"], limit=32).moves}
    # 27 are below 32; 30 is also dropped for its long words.
    assert (moves[32].drops, moves[32].alone) == (27, 26)
    assert (moves[32].kept_more, moves[32].dropped_more) == (0, 11)
    assert (moves[20].drops, moves[20].kept_more, moves[20].dropped_more) == (15, 0, 0)
    assert moves[16].kept_more == 4 and moves[16].drops == 11
    assert all(5 <= limit <= 44 and limit == int(limit) for limit in moves)
    both = _near(made[1]["stored"], "gopher_quality.min_mean_word_length", 12)
    # Eight of 25 have long words: the upper limit drops them, for the same reason.
    assert {move.limit: move.alone for move in both.moves}[12] == 17


def test_unknown_rules_and_limits(made: tuple[Workspace, dict[str, Artifact]]) -> None:
    with pytest.raises(GristmillError, match=r"did you mean 'gopher_quality.min_words'"):
        _near(made[1]["stored"], "gopher_quality.minwords")
    with pytest.raises(GristmillError, match=r"is off and has no limit"):
        _near(made[1]["stored"], "c4.min_sentences")
    with pytest.raises(GristmillError, match=r"two limits"):
        _near(made[1]["stored"], "gopher_quality.mean_word_length")
    with pytest.raises(GristmillError, match=r"no list of adult words"):
        _near(made[1]["stored"], "adult.max_share", 0.1)
    assert _near(made[1]["stored"], "c4.min_sentences", 2).judged == 40
    assert _near(made[1]["stored"], "gopher_quality.ellipses").rule == (
        "gopher_quality.max_symbol_ratio"
    )
    assert parse_near("a.b=2.5") == ("a.b", 2.5) and parse_near("a.b") == ("a.b", None)
    for wrong in ("a.b=", "a.b=nan", "a.b=x"):
        with pytest.raises(GristmillError, match="no number"):
            parse_near(wrong)


def test_every_threshold_has_a_limit_in_the_config() -> None:
    for threshold in THRESHOLDS:
        limit_in({}, threshold)  # its group and field are there
        assert named(threshold.rule).rule == threshold.rule


def test_a_page_and_every_limit(made: tuple[Workspace, dict[str, Artifact]]) -> None:
    layer = made[1]["stored"]
    step = explain_page("http://a.example/19", [made[1]["data.import"], layer])[-1]
    failed = [one for one in step["rules"] if one["failed"]]
    assert failed == [{"rule": RULE, "value": 19.0, "limit": 20.0, "fails": "<", "failed": True}]
    kept = [one["rule"] for one in step["rules"] if not one["failed"]]
    assert kept[0] == "gopher_quality.max_mean_word_length"  # 5 of at most 6
    assert not any(name.startswith("gopher") for name in step["numbers"])
    other = judged(layer.manifest.config, {"gopher_quality_words": 19.0, "reasons_all": []})
    # Below the limit, but not dropped for it: a condition of the rule saved it.
    assert {one.rule: one.failed for one in other} == {
        RULE: False, "gopher_quality.max_words": False,
    }  # fmt: skip


def test_terminal_json_and_page(
    made: tuple[Workspace, dict[str, Artifact]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    place = ["--workspace", str(made[0].path)]
    assert main(["data", "inspect", "--near", f"{RULE}=25", "--count", "2", *place]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "dropped where the number is < 25" in out and " 25 *" in out
    assert out.index("http://a.example/24") < out.index("http://a.example/25")
    assert main(["data", "inspect", "--near", RULE, "--json", *place]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["value"] for one in found["passing"]] == [20, 21, 22, 23, 24]
    page = tmp_path / "near.html"
    assert main(["data", "inspect", "--near", RULE, "--html", str(page), *place]) == 0
    html = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;19&lt;/b&gt;" in html and "<b>19" not in html and html == near_page(found)
    for wrong in (
        ["--near", RULE, "--match", "x"],
        ["--near", RULE, "--count", "0"],
        ["--count", "3"],
    ):
        assert main(["data", "inspect", *wrong, *place]) != 0
    assert main(["data", "why", "http://a.example/19", *place]) == 0
    out = capsys.readouterr().out
    assert "gopher_quality.min_words" in out and "19 < 20" in out
    assert main(["data", "why", "http://a.example/191", *place]) != 0
    assert "did you mean 'http://a.example/19'" in capsys.readouterr().err
