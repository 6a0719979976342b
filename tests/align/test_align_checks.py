"""Each thing that silently spoils PPO, broken on purpose: the run stops with the check's name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

import ppo_world as world

from gristmill.align import checks, ppo_source
from gristmill.align.checks import check_whole_distribution
from gristmill.align.rollouts import answer_statistics, lay_out, sample
from gristmill.core.errors import GristmillError
from gristmill.infer.engine import Engine
from gristmill.infer.generator import Completion, Generator, Request, Sampling


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


def sampler(**broken: Any) -> Any:
    """A sampler that takes other settings than it is asked for."""

    def draw(
        generator: Generator, prompts: Sequence[Sequence[int]], seeds: Sequence[int], **asked: Any
    ) -> list[Completion]:
        sampling = replace(Sampling(**asked), **broken)
        pairs = zip(prompts, seeds, strict=True)
        return generator.generate([Request(prompt, sampling, seed) for prompt, seed in pairs])

    return draw


def test_a_sound_run_passes(tmp_path: Path) -> None:
    assert world.trainer(tmp_path, 6).fit().steps == 6


def test_another_temperature_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppo_source, "sample", sampler(temperature=1.0))
    with pytest.raises(GristmillError, match=checks.SAMPLER_AGREES):
        world.trainer(tmp_path, 4).fit()


def test_it_stops_in_a_later_iteration_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = ppo_source.sample, 0

    def later(*arguments: Any, **asked: Any) -> list[Completion]:
        nonlocal calls
        calls += 1
        draw = sampler(temperature=0.9) if calls == 3 else real
        return draw(*arguments, **asked)

    monkeypatch.setattr(ppo_source, "sample", later)
    with pytest.raises(GristmillError, match=checks.SAMPLER_AGREES):
        world.trainer(tmp_path, 12).fit()
    assert calls == 3


@pytest.mark.parametrize("broken", [{"top_k": 2}, {"top_p": 0.3}])
def test_a_cut_distribution_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any]
) -> None:
    """Its log-probabilities are right, token by token; only their mean gives it away."""
    monkeypatch.setattr(ppo_source, "sample", sampler(**broken))
    settings = replace(world.SETTINGS, rollouts=64)
    with pytest.raises(GristmillError, match=checks.WHOLE_DISTRIBUTION):
        world.trainer(tmp_path, 4, settings=settings).fit()


def test_fair_draws_pass_the_same_check() -> None:
    model = world.policy()
    for start in range(0, 2000, 100):
        prompts = [world.PROMPTS[n % 11] for n in range(20)]
        answers = sample(
            Engine(model), prompts, list(range(start, start + 20)),
            max_tokens=8, temperature=0.8, stop_ids=(world.END,),
        )  # fmt: skip
        rows = lay_out(prompts, answers, world.END)
        found = answer_statistics(model, rows.tokens_BL, rows.mask_BT, temperature=0.8)
        check_whole_distribution(*found, rows.mask_BT)


def test_a_mask_that_is_off_by_one_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(*arguments: Any) -> Any:
        rows = lay_out(*arguments)
        return replace(rows, mask_BT=rows.mask_BT.roll(-1, dims=1))

    monkeypatch.setattr(ppo_source, "lay_out", shifted)
    with pytest.raises(GristmillError, match=checks.SAMPLER_AGREES):
        world.trainer(tmp_path, 4).fit()


def test_old_log_probabilities_of_another_policy_stop_the_run(tmp_path: Path) -> None:
    class Stale(ppo_source.PpoSource):
        def next(self, moment: Any) -> Any:
            batch = super().next(moment)
            moved = batch.tensors["old_log_p_BT"] + 1e-3 * batch.tensors["mask_BT"]
            return replace(batch, tensors={**batch.tensors, "old_log_p_BT": moved})

    with pytest.raises(GristmillError, match=checks.FIRST_RATIO):
        world.trainer(tmp_path, 4, source=Stale).fit()


def test_an_objective_at_another_temperature_stops_the_run(tmp_path: Path) -> None:
    made = world.trainer(tmp_path, 4)
    wrong = checks.FirstRatioIsOne(world.Ppo(replace(world.SETTINGS, temperature=1.0)).ratio)
    made._checks = [wrong]
    with pytest.raises(GristmillError, match=checks.FIRST_RATIO):
        made.fit()


class Dropping(nn.Module):
    """Drops half of what a layer gives."""

    def __init__(self, inner: nn.Module, p: float, module: bool):
        super().__init__()
        self.inner, self.p = inner, p
        self.drop = nn.Dropout(p) if module else nn.Identity()

    def forward(self, *arguments: Any, **named: Any) -> Any:
        out = self.drop(self.inner(*arguments, **named))
        return torch.dropout(out, self.p, self.training)


@pytest.mark.parametrize("module", [True, False])
@pytest.mark.parametrize("role", ["policy", "reference", "value"])
def test_dropout_in_any_model_stops_the_run(tmp_path: Path, role: str, module: bool) -> None:
    made = world.models()
    layer = made[role].model.layers[0]  # type: ignore[union-attr,index]
    layer.mlp = Dropping(layer.mlp, 0.5, module)
    with pytest.raises(GristmillError, match=checks.NO_DROPOUT) as caught:
        world.trainer(tmp_path, 4, models=made).fit()
    assert role in caught.value.what
    assert not any(m.training for m in made["reference"].modules())


def test_in_bf16_the_ratio_is_reported(tmp_path: Path) -> None:
    from gristmill.train.metrics import read_metrics

    made = world.trainer(tmp_path, 4, precision="bf16")
    made._checks = [*made._checks]
    assert made.fit().steps == 4
    first = read_metrics(tmp_path / "metrics.jsonl")[0]
    # The same rows in the same micro-batches: even here the objective repeats the bits.
    assert first["ratio"] == pytest.approx(1.0, abs=1e-6)
    assert first["ratio_variance"] < 1e-10
    assert first["sampler_kl"] > 0 and 0 < first["sampler_difference"] < 1
