"""`study domain-weights`: what it asks for, the halves of held-out text, and a tiny one whole."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.core.records import document_id, document_schema
from gristmill.data.domain_weights import read_weights
from gristmill.stages.data_domains import DomainsConfig, data_domains
from gristmill.stages.expansion import Place
from gristmill.stages.graph import run_recipe
from gristmill.stages.recipe import check_recipe
from gristmill.stages.settings import check_config
from gristmill.stages.workspace import Workspace
from gristmill.study.domain_draw import domain_bytes
from gristmill.study.domain_fit import FitConfig, bits_by_domain, problem_of
from gristmill.study.domain_weights import DomainWeightsConfig, expand
from gristmill.tokenizer.training import train_tokenizer

PROSE = "mill grain water wheel stone flour river miller gate sack bread winter".split()
CODE = "def return import class yield lambda assert print raise while break pass".split()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


@pytest.fixture
def labelled(tmp_path: Path, seal: Any) -> Artifact:
    """90 documents of prose and 30 of code, each naming its topic."""
    r = random.Random(3)
    rows = []
    for i in range(120):
        words, topic = (CODE, "Code") if i % 4 == 0 else (PROSE, "Prose")
        url, text = f"http://a.example/{i}", " ".join(r.choices(words, k=30))
        rows.append({"id": document_id(url, text), "url": url, "host": "a.example", "links": [],
                     "source": "test", "text": text, "topic": topic})  # fmt: skip
    path = tmp_path / "base" / "documents" / "part-00000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=document_schema()), path)
    base = seal(tmp_path / "base", "documents", "data.extract")
    config = check_config(DomainsConfig, {"bits": 12}, "test")
    found = data_domains.run(config, {"documents": base}, Workspace.at(tmp_path / "before"))
    assert isinstance(found, Artifact)
    return found


@pytest.fixture
def tokenizer(tmp_path: Path, seal: Any) -> Artifact:
    train_tokenizer([" ".join(PROSE + CODE) * 20], 300).save(tmp_path / "tokenizer")
    return seal(tmp_path / "tokenizer", "tokenizer", "tokenizer.train")


def config(**settings: Any) -> DomainWeightsConfig:
    found = check_config(DomainWeightsConfig, settings, "test")
    assert isinstance(found, DomainWeightsConfig)
    return found


def test_what_the_study_asks_for() -> None:
    place = Place("study.domain-weights", (), {"documents": ("d",), "tokenizer": ("t",)}, 20)
    found = expand(config(proxies=8, seeds=2, size=0.2, confirm_size=1.0), place)
    wanted = dict(found.nodes)
    assert len(wanted) == len(found.nodes) == 8 * 5 + 1 + 3 * (2 + 2 * 2)
    mixes = {name: block for name, block in wanted.items() if name.startswith("data.mix@")}
    # All hold the same documents out: nothing that decides it differs.
    assert len({(b["heldout_share"], b["seed"]) for b in mixes.values()}) == 1
    assert wanted["data.mix@weights-003"]["inputs"] == {
        "documents": ["d"], "learned": ["study.domain-draw@weights-003"],
    }  # fmt: skip
    assert wanted["study.domain-draw@weights-003"]["number"] == 3
    assert wanted["data.mix@weights-learned"]["inputs"]["learned"] == ["study.domain-fit@weights"]
    assert wanted["data.mix@weights-temperature"]["weighting"] == "temperature"
    # Proxies begin alike; those that confirm are one more for each seed, of their own size.
    proxies = [wanted[f"train.lm@weights-{n:03d}"] for n in range(8)]
    assert {(b["seed"], b["size"]) for b in proxies} == {(20, 0.2)}
    confirming = [wanted[f"train.lm@weights-learned-seed{s}"] for s in range(2)]
    assert [(b["seed"], b["size"]) for b in confirming] == [(20, 1.0), (21, 1.0)]
    order = list(wanted)
    assert order.index("study.domain-fit@weights") < order.index("data.mix@weights-learned")
    # More proxies are more of the same: those that were run are taken as they are.
    more = dict(expand(config(proxies=9, seeds=2, size=0.2, confirm_size=1.0), place).nodes)
    assert all(more[name] == block for name, block in wanted.items() if "domain-fit" not in name)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": {"size": 2.0}}, "'train.size' is what the study sets itself"),
        ({"low": 5.0}, "'low' is above 'high'"),
        ({"proxies": 3}, "greater than or equal to 8"),
    ],
)
def test_settings_that_make_no_study(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(GristmillError, match=said):
        config(**settings)


def test_what_weights_are_for() -> None:
    sizes = {"Code": 100, "Prose": 300}
    assert problem_of(FitConfig(), sizes).target.tolist() == [0.5, 0.5]
    assert problem_of(FitConfig(target="natural"), sizes).target.tolist() == [0.25, 0.75]
    one = problem_of(FitConfig(target={"Code": 2.0}, max_repeats=2), sizes)
    assert one.target.tolist() == [1.0, 0.0] and one.caps.tolist() == [0.5, 1.0]
    small = problem_of(FitConfig(budget_bytes=1000, max_repeats=2), sizes)
    assert small.caps.tolist() == [0.2, 0.6]
    with pytest.raises(GristmillError, match="did you mean 'Code'"):
        problem_of(FitConfig(target={"Cod": 1.0}), sizes)
    with pytest.raises(GristmillError, match="0 or more"):
        problem_of(FitConfig(target={"Code": -1.0}), sizes)


def test_the_halves_share_no_document() -> None:
    documents = [{"id": f"{i:016x}", "domain": "ab"[i % 2], "bytes": 1} for i in range(40)]
    seen = {True: set[int](), False: set[int]()}
    for chosen, numbers in seen.items():
        for i in range(40):
            # A document with bits that no other has shows in the half that it is in.
            bits = [1.0 if j == i else 0.0 for j in range(40)]
            results = {"documents": documents, "bits": {"base": {"text": bits}}}
            if any(bits_by_domain(results, chosen=chosen).values()):
                numbers.add(i)
    assert not seen[True] & seen[False] and len(seen[True] | seen[False]) == 40
    assert min(map(len, seen.values())) > 10


def test_a_whole_study_of_tiny_models(
    labelled: Artifact, tokenizer: Artifact, tmp_path: Path
) -> None:
    small = {"layers": 1, "width": 32}
    settings = {
        "proxies": 8, "seeds": 1, "size": 0.1, "proxy_bytes": 9000, "heldout_share": 0.3,
        "max_repeats": 2.0,
        "train": {"context": 32, "dial": small, "precision": "fp32", "probe_windows": 2},
        "inputs": {"documents": str(labelled.path), "tokenizer": str(tokenizer.path)},
    }  # fmt: skip
    recipe = check_recipe(
        {
            "recipe": "weights",
            "workspace": str(tmp_path / "runs"),
            "study.domain-weights": settings,
        },
        "test",
    )
    workspace = Workspace.at(tmp_path / "runs")
    steps = run_recipe(recipe, workspace)
    made = steps[-1].artifact
    weights = read_weights(made.path)
    assert list(weights) == ["Code", "Prose"] and sum(weights.values()) == pytest.approx(1.0)
    # No domain is asked for more often than it may repeat.
    sizes = domain_bytes(labelled)
    most = 2.0 * sizes["Code"] / sum(sizes.values())
    fit = next(s.artifact for s in steps if s.node.name == "study.domain-fit@weights")
    assert fit.file("weights.json").is_file() and weights["Code"] <= most + 1e-6
    record = fit.read_json("runs.json")
    assert len(record["runs"]) == 8 and record["target"] == [0.5, 0.5]
    shares = [run["shares"] for run in record["runs"]]
    assert all(sum(one) == pytest.approx(1.0) for one in shares)
    assert max(one[0] for one in shares) - min(one[0] for one in shares) > 0.2
    results = made.read_json("results.json")
    assert set(results["bits_per_byte"]) == {"natural", "temperature", "learned"}
    assert all(len(each) == 1 for each in results["bits_per_byte"].values())
    # What was trained on is as the weights say, as far as whole documents can be.
    assert results["shares"]["learned"][0] == pytest.approx(weights["Code"], abs=0.2)
    assert results["shares"]["natural"][0] == pytest.approx(0.25, abs=0.2)
    shown = made.read_json("presentation.json")
    difference = shown["figures"]["domain_weights.difference.learned"]
    assert difference["n"] == 1
    measured = [
        sum(bits) / 2 - sum(base) / 2
        for bits, base in zip(results["bits_per_byte"]["learned"],
                              results["bits_per_byte"]["natural"], strict=True)
    ]  # fmt: skip
    assert difference["value"] == pytest.approx(measured[0], abs=1e-6)
    assert "Learned weights against the natural mixture" in shown["notes"][0]
    again = run_recipe(recipe, workspace)
    assert all(step.cached for step in again) and again[-1].artifact.content == made.content
    assert json.loads(made.file("weights.json").read_text(encoding="utf-8"))["about"]


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    file = tmp_path / "weights.json"
    for text, said in [
        ("{}", "no file of weights"),
        ("no json", "no file of weights"),
        ('{"weights": [1]}', "no file of weights"),
        ('{"weights": {"A": "x"}}', "no file of weights"),
        ('{"weights": {"A": -1}}', "the weight of 'A' is no share"),
        ('{"weights": {"A": NaN}}', "the weight of 'A' is no share"),
        ('{"weights": {"A": 0}}', "every weight is 0"),
    ]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(GristmillError, match=said):
            read_weights(file)
    with pytest.raises(GristmillError, match="no such file"):
        read_weights(tmp_path / "absent.json")
    file.write_text('{"weights": {"A": 3, "B": 0.5}}', encoding="utf-8")
    assert read_weights(tmp_path) == {"A": 3.0, "B": 0.5}
