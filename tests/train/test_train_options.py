"""Options of a training: recomputed blocks, schedules of length and batch, fp16, sinks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gristmill.core.artifact import Artifact
from gristmill.core.errors import GristmillError
from gristmill.stages.train_lm import Shape, TrainLmConfig, train_lm
from gristmill.stages.workspace import Workspace
from gristmill.tokenizer.shards import TokenShards
from gristmill.train import choices
from gristmill.train.compiling import uncompile_regions
from gristmill.train.interfaces import Moment, Share
from gristmill.train.loss_scale import LEAST, LossScale
from gristmill.train.metrics import read_metrics
from gristmill.train.pace import Pace
from gristmill.train.sinks import flat, open_sinks
from gristmill.train.text import Phase, TextSource
from gristmill.train.trainer import Trainer

_spec = importlib.util.spec_from_file_location(
    "train_conftest_of_options", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
CONTEXT, make_trainer, same, weights = (
    shared.CONTEXT, shared.make_trainer, shared.same, shared.weights
)  # fmt: skip
Make = Callable[..., Trainer]
CONFIG = TrainLmConfig(
    token_budget=8 * 32 * 12,
    context=32,
    dial=Shape(layers=2, width=32, heads=2, kv_heads=1, head_dim=16, mlp_width=64, batch_rows=8),
    probe_windows=4,
)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recomputed_blocks_give_the_same_bits(
    trainer: Make, tmp_path: Path, precision: str
) -> None:
    said: list[str] = []
    plain = trainer(tmp_path / "a", steps=6, precision=precision)
    again = trainer(tmp_path / "b", steps=6, precision=precision, recompute=True, say=said.append)
    runs: list[int] = []
    block = again._models["policy"].model.layers[0]
    block.register_forward_pre_hook(lambda *_: runs.append(1))
    plain.fit()
    again.fit()
    assert same(weights(plain), weights(again))
    assert len(runs) == 2 * 6
    assert any("2 blocks compute their activations again" in line for line in said)
    assert not uncompile_regions([again._models["policy"]])


def test_recomputing_holds_less(trainer: Make, tmp_path: Path) -> None:
    def held(recompute: bool) -> int:
        one = trainer(tmp_path / str(recompute), steps=4, precision="fp32", recompute=recompute)
        total = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            # Hooks of a checkpoint lie above these: what a block saves within is not seen.
            one.fit()
        return total

    assert held(True) < 0.7 * held(False)


def test_auto_recomputes_where_a_row_does_not_fit(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from gristmill.stages import train_memory

    auto = CONFIG.model_copy(update={"checkpoint_activations": "auto"})
    roomy = train_lm.run(auto, {"tokens": tokens}, Workspace.at(tmp_path / "a"))
    assert "activations: kept (one row needs" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(train_memory, "free_memory", lambda output: 1000.0)
    workspace = Workspace.at(tmp_path / "b")
    tight = train_lm.run(
        auto.model_copy(update={"token_budget": 8 * 32 * 2}), {"tokens": tokens}, workspace
    )
    said = " ".join(capsys.readouterr().err.split())
    assert "activations: computed again block by block (one row needs" in said
    assert "2 blocks compute their activations again" in said
    assert tight.content != roomy.content
    lstm = CONFIG.model_copy(
        update={"architecture": "lstm", "checkpoint_activations": "blocks", "dial": Shape()}
    )
    with pytest.raises(GristmillError, match="no blocks that could be computed again"):
        train_lm.run(lstm, {"tokens": tokens}, Workspace.at(tmp_path / "c"))


def source(tokens_folder: Path, pace: Pace | None) -> TextSource:
    splits = {name: TokenShards.open(tokens_folder, name) for name in ("train", "anneal")}
    phases = [Phase(6, {"train": 1.0}), Phase(3, {"train": 0.5, "anneal": 0.5})]
    return TextSource(splits, phases, context=CONTEXT, batch=8, seed=3, pace=pace)


def drawn(one: TextSource, steps: int, share: Share | None = None) -> list[Mapping[str, Any]]:
    moments = (Moment(i, i, share or Share(), {}, lambda f: f({})) for i in range(steps))
    return [one.next(moment).tensors for moment in moments]


PACES = [
    {"contexts": [(0.3, 4), (1.0, 16)]},
    {"batches": [(0.5, 3), (1.0, 11)]},
    {"contexts": [(0.25, 2), (0.6, 8), (1.0, 16)], "batches": [(0.4, 5), (1.0, 7)]},
]


@pytest.mark.parametrize("schedules", PACES)
def test_a_pace_changes_no_token_and_no_order(
    tokens_folder: Path, schedules: dict[str, Any]
) -> None:
    pace = Pace(72, 8, CONTEXT, **schedules)
    steps = drawn(source(tokens_folder, pace), pace.steps)
    plain = drawn(source(tokens_folder, None), 9)
    for name in ("tokens_BT", "targets_BT"):
        ours = torch.cat([step[name].flatten() for step in steps])
        assert torch.equal(ours, torch.cat([step[name].flatten() for step in plain]))
    lengths = [step["tokens_BT"].shape[1] for step in steps]
    assert lengths == sorted(lengths)
    assert {length for _, length in schedules.get("contexts", [(1.0, 16)])} == set(lengths)
    halves = [drawn(source(tokens_folder, pace), pace.steps, Share(r, 2)) for r in range(2)]
    for whole, first, second in zip(steps, *halves, strict=True):
        both = torch.cat([first["tokens_BT"], second["tokens_BT"]])
        assert torch.equal(both, whole["tokens_BT"])


def test_a_pace_at_any_number_of_windows() -> None:
    for samples in (1, 2, 7, 72, 1000):
        for batches in ([(0.1, 3), (1.0, 64)], [(0.5, 1), (1.0, 9)]):
            pace = Pace(samples, 8, 16, contexts=[(0.37, 8), (1.0, 16)], batches=batches)
            at, sizes = 0, []
            while at < samples:
                rows, _ = pace.at(at)
                assert 0 < rows <= pace.most
                sizes.append(rows)
                at += rows
            assert at == samples and len(sizes) == pace.steps
            assert pace.at(at) == (8, 16)


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        ({"contexts": [(0.5, 5), (1.0, 16)]}, "cannot be cut into pieces of 5"),
        ({"contexts": [(0.5, 4)]}, "rise to 1"),
        ({"batches": [(0.5, 4), (0.5, 8), (1.0, 8)]}, "rise to 1"),
        ({"batches": [(1.0, 0)]}, "at least 1"),
    ],
)
def test_schedules_that_are_none(schedules: dict[str, Any], message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        Pace(72, 8, 16, **schedules)


def test_a_training_with_both_schedules_resumes_bit_for_bit(
    tokens_folder: Path, tmp_path: Path
) -> None:
    pace = Pace(72, 8, CONTEXT, **PACES[2])
    whole = make_trainer(
        tokens_folder, tmp_path / "a", pace.steps, source=source(tokens_folder, pace)
    )
    result = whole.fit()
    assert result.tokens == 72 * CONTEXT
    cut = make_trainer(
        tokens_folder, tmp_path / "b", pace.steps, source=source(tokens_folder, pace)
    )
    real, calls = cut._source.next, 0

    def stopping(moment: Moment) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return real(moment)

    cut._settings = type(cut._settings)(**{**vars(cut._settings), "checkpoint_steps": 3})
    cut._source.next = stopping  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cut.fit()
    again = make_trainer(
        tokens_folder, tmp_path / "b", pace.steps, source=source(tokens_folder, pace)
    )
    assert again.fit().tokens == result.tokens
    assert same(weights(whole), weights(again))


def test_the_stage_takes_both_schedules_and_keeps_its_budget(
    tokens: Artifact, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(
        update={
            "context_schedule": ((0.3, 8), (1.0, 32)),
            "batch_schedule": ((0.5, 4), (1.0, 12)),
            "micro_batch": 2,
        }
    )
    made = train_lm.run(config, {"tokens": tokens}, Workspace.at(tmp_path / "a"))
    records = read_metrics(made.file("metrics.jsonl"))
    assert records[-1]["tokens"] == CONFIG.token_budget
    assert records[0]["position"] | {"epochs": 0} == {
        "samples": 4, "epochs": 0, "rows": 16, "context": 8
    }  # fmt: skip
    assert records[-1]["position"]["rows"] == 12
    assert made.manifest.counts["steps"] == len(records)


def test_fp16_learns_and_its_factor_is_in_the_checkpoint(trainer: Make, tmp_path: Path) -> None:
    straight = trainer(tmp_path / "a", steps=30, precision="fp16")
    straight._loss_scale.patience = 4
    found = straight.fit()
    records = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert records[-1]["loss"] < records[0]["loss"] - 0.3
    # It doubles from 1,024 until a gradient overflows or the factor's own end.
    assert max(record["loss_scale"] for record in records) > 4096
    assert found.skipped == records[-1].get("skipped", 0)
    again = trainer(tmp_path / "a", steps=30, precision="fp16")
    again._resume()
    assert again._loss_scale.state() == straight._loss_scale.state()
    low, high = (trainer(tmp_path / p, steps=30, precision=p).fit() for p in ("fp16", "fp32"))
    assert low.skipped == 0 and abs(low.loss - high.loss) < 0.02


def test_an_overflow_halves_the_factor_and_is_no_fault(trainer: Make, tmp_path: Path) -> None:
    one = trainer(tmp_path, steps=12, precision="fp16")
    one._loss_scale.scale = 2.0**18
    result = one.fit()
    assert 3 < result.skipped < 12
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert records[0]["loss_scale"] == 2.0**17
    scale = LossScale(scale=2.0)
    assert scale.after(False) and scale.scale == LEAST and not scale.after(False)


class Plain:
    """A sink that keeps what it reads."""

    def __init__(self) -> None:
        self.read: list[dict[str, Any]] = []
        self.closed = 0

    def write(self, record: Mapping[str, Any]) -> None:
        self.read.append(dict(record))

    def close(self) -> None:
        self.closed += 1


def test_a_sink_reads_what_is_written(trainer: Make, tmp_path: Path) -> None:
    one, sink = trainer(tmp_path, steps=4), Plain()
    one._sinks = [sink]
    one.fit()
    assert sink.read == read_metrics(tmp_path / "metrics.jsonl")
    assert sink.closed == 1
    names = dict(flat(sink.read[0]))
    assert {"loss", "position/samples", "position/epochs/train"} <= set(names)
    assert "step" not in names
    assert dict(flat({"step": 1, "a": None, "b": [1], "c": "text", "d": {"step": 2}})) == {
        "c": "text", "d/step": 2.0
    }  # fmt: skip


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(GristmillError, match="wandb, and its package is not installed") as caught:
        open_sinks(["wandb"], tmp_path, "run")
    assert "gristmill[wandb]" in str(caught.value)
    assert open_sinks([], tmp_path, "run") == []


def test_tensorboard_reads_the_numbers_back(tokens: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = CONFIG.model_copy(update={"sinks": ("tensorboard",), "keep_every": 5})
    workspace = Workspace.at(tmp_path)
    made = train_lm.run(config, {"tokens": tokens}, workspace)
    plain = train_lm.run(CONFIG, {"tokens": tokens}, Workspace.at(tmp_path / "plain"))
    assert made.content == plain.content
    folders = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folders.pop()))
    events.Reload()
    records = read_metrics(made.file("metrics.jsonl"))
    assert [e.step for e in events.Scalars("loss")] == [r["step"] for r in records]
    np.testing.assert_allclose(
        [e.value for e in events.Scalars("loss")], [r["loss"] for r in records]
    )


def test_the_report_says_what_each_choice_is_worth(
    tokens: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    found: list[choices.Measured] = []

    def first_two(trial: choices.Trial) -> list[choices.Measured]:
        asked.extend(trial.names())
        # One in a process of its own, one here, where it changes nothing that stays.
        found.extend([*measure(trial, ["all"]), choices.without(trial, "precision")])
        return found

    measure = choices.measure
    monkeypatch.setattr(choices, "measure", first_two)
    config = CONFIG.model_copy(update={"measure_choices": True, "precision": "bf16"})
    made = train_lm.run(config, {"tokens": tokens}, Workspace.at(tmp_path))
    assert asked == ["all", "precision", "tiling", "chunks", "memory", "keep"]
    how, table = made.read_json("presentation.json")["tables"]
    assert [row[0] for row in how["rows"]] == [
        "precision of products", "compilation", "attention", "loss head", "token loader",
        "rows held at once", "activations", "lanes",
    ]  # fmt: skip
    assert how["rows"][0][1] == "bf16" and how["rows"][1][1] == "none"
    assert how["rows"][4][2].startswith("steps wait ")
    assert [row[0] for row in table["rows"]] == ["as chosen", choices.CHOICES["precision"]]
    assert all(float(row[1]) > 0 for row in table["rows"])
    assert found[0].loss != found[1].loss
    assert all(kind in table["note"] for kind in ("matmul", "memory-bound", "waiting", "the rest"))
    assert sum(found[0].parts.values()) == pytest.approx(1.0, abs=0.01)
    assert table["rows"][1][-1] == f"{found[1].loss - found[0].loss:+.4f}"
