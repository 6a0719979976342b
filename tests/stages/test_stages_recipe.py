"""Recipes: one laid over another, seeds of single stages, and studies that ask for stages."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from gristmill.cli.config import filled_settings
from gristmill.cli.main import main
from gristmill.core.errors import GristmillError
from gristmill.core.figure import Figure
from gristmill.stages.expansion import Expansion, Place
from gristmill.stages.graph import run_recipe
from gristmill.stages.recipe import Recipe, check_recipe, load_recipe
from gristmill.stages.registry import STAGES, stage_by_verb
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.workspace import Workspace


class ShareConfig(StageConfig):
    shares: tuple[float, ...] = (0.2, 0.5)
    seeds: int = 2


def expand(config: ShareConfig, place: Place) -> Expansion:
    wanted = [
        (
            f"data.mix@{share:g}-seed{seed}",
            {
                "heldout_share": share,
                "seed": place.seed + seed,
                "inputs": {"documents": place.inputs["documents"]},
            },
        )
        for share in config.shares
        for seed in range(config.seeds)
    ]
    return Expansion(wanted, {"mixtures": [name for name, _ in wanted]})


@stage(
    "evaluate shares", version=1, kind="comparison", config=ShareConfig, expand=expand,
    summary="", example="",
    inputs={"documents": Slot("documents", "layer"), "mixtures": Slot("mixture", many=True,
            optional=True, named=True)},
)  # fmt: skip
def shares(config: ShareConfig, inputs: Inputs, output: Output) -> None:
    held = [artifact.manifest.counts["heldout"] for artifact in inputs.many("mixtures")]
    output.counts["mixtures"] = len(held)
    output.figures["shares.spread"] = Figure(float(max(held) - min(held)))


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A study in another package than `stages`, known by the path of its module."""
    module = ModuleType("elsewhere.shares")
    module.shares = shares  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "elsewhere.shares", module)
    monkeypatch.setitem(STAGES, "evaluate shares", ("elsewhere.shares", ""))
    yield


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    rows = [
        {"text": f"The story number {i} is about {i * i} things and {i} more."} for i in range(40)
    ]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def with_study(texts: Path, **block: object) -> Recipe:
    data = {"import": {"path": str(texts)}, "mix": {"heldout_share": 0.2}}
    settings = {"seed": 5, "data": data, "evaluate": {"shares": block}}
    return check_recipe(settings, "test")


def names(recipe: Recipe) -> list[str]:
    return [node.name for node in recipe.nodes]


def test_a_study_runs_what_it_asks_for_once(study: None, texts: Path, tmp_path: Path) -> None:
    recipe = with_study(texts)
    # The first mixture that it wants is the recipe's own.
    assert names(recipe) == [
        "data.import",
        "data.mix",
        "data.mix@0.2-seed1",
        "data.mix@0.5-seed0",
        "data.mix@0.5-seed1",
        "evaluate.shares",
    ]
    assert recipe.nodes[-1].wires["mixtures"] == ("data.mix", *names(recipe)[2:5])
    workspace = Workspace.at(tmp_path / "w")
    steps = run_recipe(recipe, workspace)
    assert steps[-1].artifact.manifest.counts == {"mixtures": 4}
    assert len({step.artifact.content for step in steps}) == 6
    assert list(workspace.nodes()) == ["data.import", "data.mix", "evaluate.shares"]
    assert all(step.cached for step in run_recipe(recipe, workspace))


def test_a_stage_that_a_study_wants_is_not_the_recipes_own(study: None, texts: Path) -> None:
    settings = {
        "data": {"import": {"path": str(texts)}, "mix": {}},
        "evaluate": {"shares": {}},
        "tokenizer": {"train": {}},
        "report": {},
    }
    recipe = check_recipe(settings, "test")
    assert recipe.node("tokenizer.train").wires["mixture"] == ("data.mix",)
    told = recipe.node("report").wires["artifacts"]
    assert told == ("data.import", "data.mix", "evaluate.shares", "tokenizer.train")
    shown = filled_settings(recipe)
    assert shown["evaluate"]["shares"]["inputs"] == {"documents": "data.import"}
    assert names(check_recipe(shown, "shown")) == names(recipe)


def test_a_study_called_alone_takes_folders(
    study: None, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = ["--workspace", str(tmp_path / "w")]
    assert main(["data", "import", "--path", str(texts), *workspace]) == 0
    [documents] = (tmp_path / "w" / "artifacts").glob("data.import-*")
    call = ["evaluate", "shares", "--documents", str(documents), "--shares", "[0.3]", *workspace]
    capsys.readouterr()
    assert main([*call, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["stages"]
    assert [(s["node"], s["state"]) for s in planned] == [
        ("data.mix@0.3-seed0", "would run"),
        ("data.mix@0.3-seed1", "would run"),
        ("evaluate.shares", "would run"),
    ]
    assert main([*call, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert [s["node"] for s in done["stages"]] == [s["node"] for s in planned]
    assert "shares.spread" in done["figures"]


def test_stages_in_a_circle_are_told_of_the_order(texts: Path) -> None:
    settings = {
        "data": {
            "import": {"path": str(texts)},
            "filter": {"inputs": {"documents": "data.dedup"}},
            "dedup": {"inputs": {"documents": "data.filter"}},
        }
    }
    with pytest.raises(GristmillError, match="order of the file, in no circle") as error:
        check_recipe(settings, "mine")
    assert error.value.what == "'data.dedup' is this stage itself or stands after it"


def test_a_wrong_wish_names_the_study(study: None, texts: Path) -> None:
    with pytest.raises(GristmillError, match="less than 1") as caught:
        with_study(texts, shares=[2.0])
    assert "evaluate.shares:data.mix@2-seed0.heldout_share" in caught.value.one_line()


def test_a_stages_own_seed_is_the_identity_of_that_seed(texts: Path, tmp_path: Path) -> None:
    def mixture(seed: int, own: int | None) -> str:
        mix = {} if own is None else {"seed": own}
        data = {"import": {"path": str(texts)}, "mix": mix}
        recipe = check_recipe({"seed": seed, "data": data}, "test")
        return run_recipe(recipe, Workspace.at(tmp_path / "w"))[-1].artifact.manifest.key

    assert mixture(1, 7) == mixture(2, 7) == mixture(7, None) != mixture(1, None)
    with pytest.raises(GristmillError, match="data import has nothing random"):
        check_recipe({"data": {"import": {"path": str(texts), "seed": 1}}}, "test")
    with pytest.raises(GristmillError, match="must be int"):
        check_recipe({"data": {"import": {"path": str(texts)}, "mix": {"seed": "x"}}}, "test")


@pytest.mark.parametrize("verb", sorted(STAGES))
def test_no_setting_hides_behind_a_key_of_the_frame(verb: str) -> None:
    assert not {"seed", "inputs"} & set(stage_by_verb(verb).config.model_fields)


def write(path: Path, settings: dict[str, object]) -> Path:
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def test_a_recipe_is_laid_over_another(tmp_path: Path) -> None:
    above = write(
        tmp_path / "mine.yaml",
        {
            "extends": "demo",
            "recipe": "mine",
            "data": {
                "quality": None,
                "filter": {"gopher_quality": {"min_words": 20}},
                "mix": {"weights": {"a": 1.0}, "heldout_hosts": ["x.example"]},
                "mix@again": {},
            },
            "score": None,
        },
    )
    write(
        tmp_path / "more.yaml",
        {"extends": "mine.yaml", "tokenizer": {"compare": {}}, "train": {"lm": {"size": 1}}},
    )
    base, mine = load_recipe("demo"), load_recipe(str(above))
    wanted = [name for name in names(base) if name not in ("data.quality", "score")]
    place = wanted.index("data.inspect") + 1
    assert names(mine) == [*wanted[:place], "data.mix@again", *wanted[place:]]
    assert (mine.name, mine.workspace, mine.seed) == ("mine", base.workspace, base.seed)
    filtering = mine.node("data.filter").config.model_dump()
    assert filtering["gopher_quality"]["min_words"] == 20
    assert filtering["gopher_quality"]["min_stop_words"] == 1
    assert mine.node("data.domains").wires == {"documents": ("data.dedup",)}
    more = load_recipe(str(tmp_path / "more.yaml"), {"train.lm.token_budget": 7})
    assert more.node("train.lm").config.model_dump()["size"] == 1
    assert more.node("train.lm").config.model_dump()["token_budget"] == 7
    assert names(more)[-1] == "report" and "tokenizer.compare" in names(more)


def test_what_is_new_stands_before_the_report(tmp_path: Path) -> None:
    above = write(
        tmp_path / "a.yaml", {"extends": "own-text", "score": {}, "data": {"import": {"path": "x"}}}
    )
    assert names(load_recipe(str(above)))[-2:] == ["score", "report"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extends": "other.yaml"}, "recipes extend each other"),
        ({"extends": "nobody"}, "no recipe 'nobody'"),
        ({"extends": 3}, "must be the name or the file of a recipe"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    path = write(tmp_path / "one.yaml", settings)
    write(tmp_path / "other.yaml", {"extends": "one.yaml"})
    with pytest.raises(GristmillError, match=message):
        load_recipe(str(path))


def test_a_stage_stands_alone_under_its_dotted_name(texts: Path, tmp_path: Path) -> None:
    settings = {
        "data": {"import": {"path": str(texts)}},
        "tokenizer": {"train": {"vocab_size": 300}},
        "data.mix": {"heldout_share": 0.3},
    }
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    with pytest.raises(GristmillError, match="nothing before it makes"):
        load_recipe(str(file))  # the order is that of the file: no mixture before the tokenizer
    settings = {key: settings[key] for key in ("data", "data.mix", "tokenizer")}
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    recipe = load_recipe(
        str(file), {"data.mix.heldout_share": 0.4, "tokenizer.train.vocab_size": 301}
    )
    assert [node.name for node in recipe.nodes] == ["data.import", "data.mix", "tokenizer.train"]
    assert recipe.node("data.mix").config.heldout_share == 0.4  # type: ignore[attr-defined]
    # What `config show` prints is the same recipe again.
    again = check_recipe(filled_settings(recipe), "shown")
    assert [(n.name, n.config, n.wires) for n in again.nodes] == [
        (n.name, n.config, n.wires) for n in recipe.nodes
    ]
    with pytest.raises(GristmillError, match=r"own.yaml:data.mix.heldout_shore: unknown key"):
        load_recipe(str(file), {"data.mix.heldout_shore": 0.4})


def test_a_dotted_stage_is_laid_over_and_taken_out(texts: Path, tmp_path: Path) -> None:
    below, above = tmp_path / "below.yaml", tmp_path / "above.yaml"
    settings = {"data": {"import": {"path": str(texts)}}, "data.mix": {"heldout_share": 0.3}}
    below.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")

    def nodes(over: dict[str, object]) -> dict[str, object]:
        above.write_text(yaml.safe_dump({"extends": "below.yaml", **over}), encoding="utf-8")
        return {
            n.name: getattr(n.config, "heldout_share", None) for n in load_recipe(str(above)).nodes
        }

    assert nodes({"data": {"mix": {"heldout_share": 0.5}}}) == {
        "data.import": None,
        "data.mix": 0.5,
    }
    assert nodes({"data.mix": {"heldout_share": 0.6}}) == {"data.import": None, "data.mix": 0.6}
    assert nodes({"data.mix": None}) == {"data.import": None}
    assert nodes({"data": {"mix": None}}) == {"data.import": None}
    assert list(nodes({"tokenizer.train": {"vocab_size": 300}})) == [
        "data.import", "data.mix", "tokenizer.train",
    ]  # fmt: skip
