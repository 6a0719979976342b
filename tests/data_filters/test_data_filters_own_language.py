"""A language model of one's own: features, what it learns, its file, `data filter` with it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from gristmill.cli.main import main
from gristmill.core.errors import GristmillError
from gristmill.data.filters.labelled import read_named
from gristmill.data.filters.language import check_languages, identify
from gristmill.data.filters.own_language import (
    CHARACTERS,
    FILE,
    OwnLanguageModel,
    TrainedLanguages,
    character_features,
    train_language_model,
)
from gristmill.data.ngrams import mix_array, ngram_hashes

# Two languages that no model of the world knows: syllables of their own, most of them shared.
SYLLABLES = {"vor": "ka to mi rel san".split(), "zel": "ka to mi phu sçö".split()}


def text(r: random.Random, language: str, words: int = 12) -> str:
    made = ["".join(r.choices(SYLLABLES[language], k=3)) for _ in range(words)]
    return " ".join(made).capitalize() + "."


def labelled(path: Path, count: int = 240, **further: Any) -> Path:
    r = random.Random(4)
    rows: list[Any] = []
    for number in range(count):
        label = ("vor", "zel")[number % 2]
        rows.append({"text": text(r, label), "label": label, **further})
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedLanguages:
    path = labelled(tmp_path_factory.mktemp("labelled") / "a.jsonl")
    return train_language_model(read_named(path), bits=14, fold_count=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5))
def test_features_are_the_runs_of_characters_in_plain_python(texts: list[str]) -> None:
    found = character_features(texts, bits=12, ngrams=3)
    assert len(found) == len(texts)
    for row, one in enumerate(texts):
        plain = " " + re.sub(r"[\W\d_]+", " ", one[:CHARACTERS].lower()).strip() + " "
        # A text of fewer characters than a run is one run.
        runs = [(plain[i : i + n], n) for n in (1, 2, 3) for i in range(max(1, len(plain) - n + 1))]
        got = found.buckets[found.starts[row] : found.starts[row + 1]].tolist()
        assert sorted(got) == sorted(bucket(run, n) for run, n in runs)


def bucket(run: str, n: int) -> int:
    points = np.array([ord(c) for c in run], np.uint64)
    hashes = mix_array(points + np.uint64(1))
    grams, _ = ngram_hashes(hashes, np.array([0, len(run)]), n)
    return int(mix_array(grams + np.uint64(n))[0] >> np.uint64(64 - 12))


def test_it_learns_and_says_how_sure_it_is(trained: TrainedLanguages) -> None:
    r = random.Random(9)
    fresh = [(text(r, label), label) for label in ("vor", "zel") * 60]
    answers = trained.model.best_of([one for one, _ in fresh])
    right = [said == label for (said, _), (_, label) in zip(answers, fresh, strict=True)]
    assert np.mean(right) > 0.97 and (trained.said == trained.true).mean() > 0.97
    assert all(0.5 <= score <= 1.0 for _, score in answers)
    # Words of the syllables that both share are no language's for sure.
    (_, unsure), (_, sure) = trained.model.best_of(["katomi mitoka", "phusçöphu sçöphuphu"])
    assert unsure < sure and sure > 0.9


def test_scores_are_probabilities_where_labels_are_wrong_at_times(tmp_path: Path) -> None:
    path = labelled(tmp_path / "a.jsonl", 400)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows[::5]:
        row["label"] = "zel" if row["label"] == "vor" else "vor"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = train_language_model(read_named(path), bits=14, fold_count=3)
    right = (found.said == found.true).mean()
    assert 0.6 < right < 0.85 and abs(found.score.mean() - right) < 0.08


def test_mistakes_are_told_by_language(trained: TrainedLanguages) -> None:
    said = trained.true.copy()
    said[np.flatnonzero(trained.true == 1)[:3]] = 0
    told = TrainedLanguages(trained.model, trained.true, said, trained.score)
    assert told.mistakes() == [("zel", "vor", 3)]


def test_equal_input_gives_equal_bytes_and_the_file_gives_the_model(
    trained: TrainedLanguages, tmp_path: Path
) -> None:
    again = train_language_model(read_named(labelled(tmp_path / "a.jsonl")), bits=14, fold_count=3)
    trained.model.save(tmp_path / FILE)
    again.model.save(tmp_path / "again.safetensors")
    assert (tmp_path / FILE).read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    texts = ["Katomi phusçö.", "relsanka relrelsan", "12 -- 7", ""]
    labels, scores = identify(texts, tmp_path / FILE)
    assert labels == ["zel", "vor", "und", "und"]
    assert scores[:2].tolist() == pytest.approx(
        [score for _, score in OwnLanguageModel.load(tmp_path / FILE).best_of(texts[:2])]
    )
    known = (["xx", None, None, None], np.array([0.5, 0, 0, 0], np.float32))
    assert identify(texts, tmp_path / FILE, known)[0] == ["xx", "vor", "und", "und"]
    check_languages(["vor", "und"], tmp_path / FILE)
    with pytest.raises(GristmillError, match="knows no 'en'; it was trained on vor, zel"):
        check_languages(["en"], tmp_path / FILE)


def test_bad_files_are_told(tmp_path: Path) -> None:
    path = labelled(tmp_path / "a.jsonl", 60)
    with open(path, "a", encoding="utf-8") as file:
        file.write('\n{"text": "x", "label": 3}\n{"text": "x", "label": "no name!"}\nbroken\n')
    named = read_named(path)
    assert len(named.texts) == 60 and named.bad == 3
    assert named.shown[1]["reason"].startswith("a label that is no name: 'no name!'")
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"text": "rare words", "label": "pt-BR"}\n')
    with pytest.raises(GristmillError, match="of 'pt-br' there are 1 texts; at least two"):
        train_language_model(read_named(path), bits=10)
    only = tmp_path / "one.jsonl"
    only.write_text("\n".join(f'{{"text": "t {n}", "label": "en"}}' for n in range(30)))
    with pytest.raises(GristmillError, match="there is one language"):
        train_language_model(read_named(only), bits=10)
    (tmp_path / "other.safetensors").write_bytes(b"no model")
    with pytest.raises(GristmillError, match="not a language model of ours"):
        OwnLanguageModel.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("changed", [{"bits": 40}, {"ngrams": 10**9}, {"labels": ["vor"]}])
def test_a_file_of_impossible_sizes_is_refused(
    changed: dict[str, Any], trained: TrainedLanguages, tmp_path: Path
) -> None:
    trained.model.save(tmp_path / FILE)
    with safe_open(str(tmp_path / FILE), framework="numpy") as file:
        about = json.loads(file.metadata()["model"])
        tensors = {name: file.get_tensor(name) for name in ("rows", "weights", "bias")}
    metadata = {"model": json.dumps(about | changed)}
    save_file(tensors, tmp_path / FILE, metadata=metadata)
    with pytest.raises(GristmillError, match="not a language model of ours"):
        OwnLanguageModel.load(tmp_path / FILE)


def test_data_filter_trains_one_and_uses_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    r = random.Random(2)
    rows = [{"text": text(r, label), "url": f"https://a.example/{n}"}
            for n, label in enumerate(("vor", "zel") * 10)]  # fmt: skip
    corpus = tmp_path / "rows.jsonl"
    corpus.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    given = labelled(tmp_path / "labelled.jsonl")
    place = ["--workspace", str(tmp_path / "w")]
    assert main(["data", "import", "--path", str(corpus), *place]) == 0
    rules = ("boilerplate", "spam", "c4", "fineweb", "gopher_quality", "gopher_repetition")
    off = [word for rule in rules for word in (f"--{rule}.enabled", "false")]
    verb = ["data", "filter", "--documents", "data.import", *place, *off, "--workers", "1"]
    model = ["--language.keep", "[vor]", "--own_language.bits", "14"]
    capsys.readouterr()
    assert main([*verb, *model, "--own_language.train", str(given), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["counts"]["kept"] == 10 and first["counts"]["language_labelled"] == 240
    assert first["figures"]["language.accuracy"]["value"] > 0.97
    folder = Path(first["path"])
    layer = ds.dataset(folder / "layer").to_table(["keep", "reason", "language"]).to_pylist()
    assert layer[0] == {"keep": True, "reason": None, "language": "vor"}
    assert layer[1] == {"keep": False, "reason": "language.other", "language": "zel"}
    assert main([*verb, "--language.keep", "[zel]", "--own_language.trained", str(folder),
                 "--as", "again", "--json"]) == 0  # fmt: skip
    again = json.loads(capsys.readouterr().out)
    assert again["counts"]["kept"] == 10 and again["path"] != str(folder)
    assert (Path(again["path"]) / FILE).read_bytes() == (folder / FILE).read_bytes()
    for wrong, told in [
        ([*model, "--own_language.train", str(given), "--language.enabled", "false"], "leave one"),
        (["--own_language.train", str(given), "--own_language.trained", str(folder)], "both to be"),
        (["--own_language.train", str(given)], "knows no 'en'; it was trained on vor, zel"),
    ]:
        assert main([*verb, *wrong]) == 2
        assert told in capsys.readouterr().err
