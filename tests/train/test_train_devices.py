"""What is for GPUs and can be held on any machine: the same numbers, the same order, a clear no."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.model.attention import Visibility, attention
from gristmill.model.flex import document_blocks, works
from gristmill.model.flops import flops_per_token
from gristmill.tokenizer.shards import TokenShards
from gristmill.train import eight_bit, precision
from gristmill.train.eight_bit import GRADIENTS, VALUES, eight_bit_linear, scaled
from gristmill.train.interfaces import Batch, Moment, Share, State
from gristmill.train.pace import Pace
from gristmill.train.peaks import published_peak
from gristmill.train.prefetch import Prefetched
from gristmill.train.schedules import Schedule
from gristmill.train.softmax_gradient import loss_and_gradient
from gristmill.train.text import Phase, TextSource
from gristmill.train.trainer import Trainer

_spec = importlib.util.spec_from_file_location(
    "train_conftest_devices", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
CONTEXT, SHAPE = shared.CONTEXT, shared.SHAPE
CPU = torch.device("cpu")

Make = Callable[..., Trainer]


def source(tokens_folder: Path, pace: Pace | None = None) -> TextSource:
    splits = {name: TokenShards.open(tokens_folder, name) for name in ("train", "anneal")}
    phases = [Phase(6, {"train": 1.0}), Phase(3, {"train": 0.5, "anneal": 0.5})]
    return TextSource(
        splits, phases, context=CONTEXT, batch=8, seed=3, document_mask=True, pace=pace
    )


def moment(step: int) -> Moment:
    return Moment(step, step, Share(), {}, lambda function: function({}))


def alike(first: Batch, second: Batch) -> bool:
    same = all(torch.equal(first.tensors[n], second.tensors[n]) for n in first.tensors)
    return same and first.info == second.info and set(first.tensors) == set(second.tensors)


def test_a_batch_drawn_ahead_is_the_one_that_would_have_come(tokens_folder: Path) -> None:
    plain, ahead = source(tokens_folder), Prefetched(source(tokens_folder))
    for step in range(9):
        assert alike(plain.next(moment(step)), ahead.next(moment(step)))
        assert plain.state() == ahead.state()  # never that of the batch drawn ahead
        if step in (3, 7):
            again = Prefetched(source(tokens_folder))
            again.next(moment(0))
            again.restore(ahead.state())
            ahead = again
            assert plain.state() == ahead.state()


def test_a_run_with_batches_ahead_ends_with_the_same_bits(
    trainer: Make, tokens_folder: Path, tmp_path: Path
) -> None:
    whole = trainer(tmp_path / "a", steps=8, source=source(tokens_folder))
    whole.fit()
    text = Prefetched(source(tokens_folder))
    cut = trainer(tmp_path / "b", steps=8, source=text, checkpoint_steps=5)
    real = text.next

    def until_the_sixth(at: Moment) -> Batch:
        if at.step == 5:
            raise KeyboardInterrupt
        return real(at)

    text.next = until_the_sixth  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cut.fit()
    again = trainer(tmp_path / "b", steps=8, source=Prefetched(source(tokens_folder)))
    again.fit()
    assert shared.same(shared.weights(whole), shared.weights(again))


class Failing:
    """Has two batches."""

    def __init__(self) -> None:
        self.drawn = 0

    def next(self, moment: Moment) -> Batch:
        self.drawn += 1
        if self.drawn > 2:
            raise GristmillError("no more text")
        return Batch({"x": torch.tensor([self.drawn])}, tokens=1)

    def state(self) -> State:
        return State({"drawn": self.drawn})

    def restore(self, state: State) -> None:
        self.drawn = state.json["drawn"]


def test_what_fails_ahead_is_raised_where_its_batch_is_asked_for() -> None:
    ahead = Prefetched(Failing())
    assert [int(ahead.next(moment(step)).tensors["x"]) for step in (0, 1)] == [1, 2]
    assert ahead.state() == State({"drawn": 2})
    with pytest.raises(GristmillError, match="no more text"):
        ahead.next(moment(2))


def test_eight_bits_keep_two_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 16, 32, generator=generator).bfloat16().requires_grad_()
    weight = (0.02 * torch.randn(48, 32, generator=generator)).bfloat16().requires_grad_()
    upstream = 1e-6 * torch.randn(2, 16, 48, generator=generator).bfloat16()
    plain = torch.nn.functional.linear(x, weight)
    wanted = [plain, *torch.autograd.grad(plain, (x, weight), upstream)]
    ours = eight_bit_linear(x, weight)
    found = [ours, *torch.autograd.grad(ours, (x, weight), upstream)]
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.bfloat16 and a.shape == b.shape
        # Two factors, each rounded to 3 (values) or 2 (gradients) binary digits.
        assert 0.01 < float((a - b).detach().norm() / b.detach().norm()) < 0.08
    with torch.no_grad():
        x[0, 0, 0] = math.inf
    assert not bool(eight_bit_linear(x, weight).isfinite().all())


@pytest.mark.parametrize("dtype", [VALUES, GRADIENTS])
def test_the_scale_brings_the_largest_to_the_formats_end(dtype: torch.dtype) -> None:
    low, scale = scaled(torch.tensor([3e-5, -6e-5, 0.0]).bfloat16(), dtype)
    assert float(low.float().abs().max()) == torch.finfo(dtype).max
    assert float(low.float()[1] * scale) == pytest.approx(-6e-5, rel=0.01)
    assert not scaled(torch.zeros(4), dtype)[0].float().any()


def test_fp8_is_refused_where_there_is_none(trainer: Make, tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="compute capability 8") as caught:
        trainer(tmp_path, precision="fp8")
    assert "this processor" in str(caught.value)


def test_a_training_in_eight_bits_learns_and_leaves_the_model_as_it_was(
    trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "require_eight_bit", lambda device: None)
    said: list[str] = []
    low = trainer(tmp_path / "a", precision="fp8", say=said.append)
    high = trainer(tmp_path / "b", precision="bf16")
    losses = [one.fit().loss for one in (low, high)]
    assert 0 < abs(losses[0] - losses[1]) < 0.05
    assert any(s.startswith("14 linear layers of the blocks compute in 8 bits") for s in said)
    model = low._models["policy"]
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_layers_of_odd_sizes_stay_in_bf16() -> None:
    odd, even = torch.nn.Linear(24, 16, bias=False), torch.nn.Linear(32, 16, bias=False)
    model = torch.nn.Module()
    model.layers = torch.nn.ModuleList([torch.nn.Sequential(odd, even)])
    assert "1 linear layers" in (sentence := eight_bit.eight_bit_regions([model]))
    assert sentence.endswith("1 of other sizes in bf16")
    eight_bit.full_width_regions([model])
    assert "forward" not in even.__dict__


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("z_loss", "cap"), [(0.0, 0.0), (1e-2, 0.0), (1e-2, 5.0), (0.0, 5.0)])
def test_loss_and_gradient_in_one_pass(mask: bool, z_loss: float, cap: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits_CV = (4 * torch.randn(7, 11, generator=generator)).requires_grad_()
    targets_C1 = torch.randint(11, (7, 1), generator=generator)
    mask_C = torch.tensor([1.0, 0.0, 0.5, 1.0, 1.0, 0.0, 2.0]) if mask else torch.ones(7)
    x_CV = cap * torch.tanh(logits_CV / cap) if cap else logits_CV
    plain_C = torch.nn.functional.cross_entropy(x_CV, targets_C1[:, 0], reduction="none")
    total = (mask_C * (plain_C + z_loss * torch.logsumexp(x_CV, 1) ** 2)).sum()
    (wanted_CV,) = torch.autograd.grad(total, logits_CV)
    given = logits_CV.detach().clone()
    if mask:
        given[1] = math.nan  # of weight 0
    both, loss, grad_CV = loss_and_gradient(
        given, targets_C1, mask_C if mask else None, z_loss, cap
    )
    torch.testing.assert_close(both, total.detach())
    torch.testing.assert_close(loss, (mask_C * plain_C).sum().detach())
    torch.testing.assert_close(grad_CV, wanted_CV, atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_attention_in_blocks_sees_what_the_matrix_says() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 150, 16, generator=generator) for heads in (4, 2, 2))
    index_T = torch.arange(150)
    segments_BT = torch.stack((index_T // 70, index_T // 33))
    same = segments_BT[:, :, None] == segments_BT[:, None, :]
    allowed = same & (index_T[:, None] >= index_T)
    with torch.no_grad():
        plain = attention(q, k, v, Visibility(causal=True, allowed_BTS=allowed))
        ours = attention(q, k, v, Visibility(True, blocks=document_blocks(segments_BT)))
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    assert not works(CPU, 64, torch.bfloat16)


def test_published_peaks_go_by_whole_names() -> None:
    assert published_peak("NVIDIA H200", "bf16") == 989e12
    assert published_peak("NVIDIA H100 PCIe", "bf16") == 756e12
    assert published_peak("NVIDIA H100 80GB HBM3", "fp8") == 1979e12
    assert published_peak("NVIDIA A100-SXM4-80GB", "fp8") == 0.0
    assert published_peak("NVIDIA L40S", "bf16") == 362e12
    assert published_peak("NVIDIA L4", "bf16") == 121e12
    assert published_peak("a processor", "bf16") == 0.0


def test_rates_follow_the_windows_of_each_step(tokens_folder: Path) -> None:
    pace = Pace(72, 8, CONTEXT, contexts=[(1.0, 8)], batches=[(0.4, 5), (1.0, 20)])
    text = source(tokens_folder, pace)
    drawn = []
    for step in range(pace.steps):
        text.next(moment(step))
        drawn.append(text.state().json["samples"])
    sizes = [after - before for before, after in zip([0, *drawn], drawn, strict=False)]
    assert [pace.windows(step) for step in range(pace.steps)] == sizes
    assert pace.windows(pace.steps) == 8
    root = Schedule("constant", pace.steps, sizes=pace.rates(0.5))
    assert [root.factor(step) ** 2 for step in range(pace.steps)] == pytest.approx(
        [size / 8 for size in sizes]
    )
    assert Schedule("linear", 10, 4, sizes=lambda step: 2.0).factor(0) == 0.5


def test_mfu_counts_the_length_that_rows_have(
    trainer: Make, tokens_folder: Path, tmp_path: Path
) -> None:
    pace = Pace(72, 8, CONTEXT, contexts=[(0.5, 2), (1.0, CONTEXT)])
    asked: list[int | None] = []

    def flops(length: int | None) -> float:
        asked.append(length)
        return flops_per_token(SHAPE, length)

    one = trainer(tmp_path, steps=pace.steps, source=source(tokens_folder, pace))
    one._flops_per_token = flops
    one.fit()
    short, whole = (stretch.steps for stretch in pace.stretches)
    assert asked == [2] * short + [CONTEXT] * whole
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    peak = one._choice.peak
    for record, length in zip(records, asked, strict=True):
        spent = flops_per_token(SHAPE, length) * record["tokens_per_second"]
        peak = max(peak, spent)
        assert record["mfu"] == pytest.approx(spent / peak) and record["mfu"] <= 1
