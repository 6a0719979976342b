"""Adapters: nothing at the start, alpha / r, merging, a base that never moves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.core.run import Run
from gristmill.model.lora import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    TARGETS,
    adapter_tensors,
    adapters,
    add_adapters,
    disabled,
    load_adapter,
    merge,
    save_adapter,
)
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.train.interfaces import Batch, Moment, State
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings, role_of
from gristmill.train.schedules import Schedule
from gristmill.train.trainer import Settings, Trainer

SHAPE = TransformerConfig(
    61, width=32, layers=2, heads=2, kv_heads=1, head_dim=16, mlp_width=64, context=24, tied=False
)
RATES = OptimizerSettings(adapter_lr=0.02)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_PROGRESS", "off")
    torch.set_num_threads(1)


def base(shape: TransformerConfig = SHAPE) -> Transformer:
    """A model whose every layer matters: what starts at 0 would hide an adapter's output."""
    model = Transformer(shape)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + 0.02)
    return model.eval()


def stirred(model: torch.nn.Module, seed: int = 2) -> torch.nn.Module:
    """Adapters as after a training: B is not 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in adapters(model).values():
            shape = layer.lora_B.weight.shape
            layer.lora_B.weight.copy_(torch.randn(shape, generator=generator) * 0.1)
    return model


def logits(model: Transformer) -> Tensor:
    tokens_BT = torch.randint(0, 61, (3, 12), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found: Tensor = model.head(model(tokens_BT))
    return found


class _Windows:
    """Random windows in a fixed order; its state is how many were drawn."""

    def __init__(self) -> None:
        self.drawn = 0

    def next(self, moment: Moment) -> Batch:
        self.drawn += 1
        generator = torch.Generator().manual_seed(self.drawn)
        both_BT = torch.randint(0, 61, (4, 13), generator=generator)
        return Batch({"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}, tokens=48)

    def state(self) -> State:
        return State({"drawn": self.drawn})

    def restore(self, state: State) -> None:
        self.drawn = state.json["drawn"]


def trainer(model: Transformer, folder: Path, **changes: Any) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"precision": "fp32", "checkpoint_steps": 3, **changes}
    return Trainer(
        Run(folder), models={"policy": model}, optimizers={"policy": Optimizer(model, RATES)},
        source=_Windows(), objective=NextToken(), schedule=Schedule("linear", 8, 1),
        settings=Settings(**settings), say=lambda _: None,
    )  # fmt: skip


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return set(first) == set(second) and all(torch.equal(first[n], second[n]) for n in first)


def test_without_training_the_output_is_exactly_the_base() -> None:
    model = base()
    before = logits(model)
    trained = add_adapters(model, 4, 8.0)
    assert torch.equal(logits(model), before)
    assert len(adapters(model)) == 2 * len(TARGETS)
    assert trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert all(".lora_" in n for n, p in model.named_parameters() if p.requires_grad)
    assert all(bool(layer.lora_A.weight.any()) for layer in adapters(model).values())


def test_a_is_within_the_uniform_bound_and_each_layer_has_its_own() -> None:
    model = base()
    add_adapters(model, 8, 16.0, ("q_proj", "k_proj"), seed=4)
    first, second = [model.model.layers[i].self_attn.q_proj.lora_A.weight for i in (0, 1)]
    assert not torch.equal(first, second)
    bound = 32**-0.5
    assert float(first.detach().abs().max()) <= bound
    assert float(first.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.1)
    again = base()
    add_adapters(again, 8, 16.0, ("q_proj", "k_proj"), seed=4)
    assert same(adapter_tensors(model), adapter_tensors(again))


@pytest.mark.parametrize(("rank", "alpha"), [(2, 6.0), (4, 1.0)])
def test_the_scale_is_alpha_over_rank(rank: int, alpha: float) -> None:
    model = base()
    layer = model.model.layers[1].mlp.up_proj
    weight = layer.weight.detach().clone()
    add_adapters(model, rank, alpha, ("up_proj",))
    adapted = model.model.layers[1].mlp.up_proj
    stirred(model)
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(9))
    a, b = adapted.lora_A.weight.detach(), adapted.lora_B.weight.detach()
    expected = x @ weight.T + alpha / rank * (x @ a.T @ b.T)
    assert torch.allclose(adapted(x), expected, atol=1e-6)
    assert not torch.allclose(adapted(x), x @ weight.T, atol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"tied": True, "qkv_bias": True, "qk_norm": False}])
def test_the_merged_model_is_plain_and_computes_the_same(changes: dict[str, Any]) -> None:
    shape = TransformerConfig(**{**SHAPE.__dict__, **changes})
    model = base(shape)
    before = logits(model)
    add_adapters(model, 4, 8.0)
    stirred(model)
    plain = merge(model)
    assert not adapters(plain)
    assert set(plain.state_dict()) == set(Transformer(shape).state_dict())
    assert float((logits(plain) - logits(model)).abs().max()) < 1e-5
    assert float((logits(plain) - before).abs().max()) > 1e-2


def test_the_base_is_the_same_bits_after_training_and_disabled(tmp_path: Path) -> None:
    model = base()
    before, weights = logits(model), {n: t.clone() for n, t in model.state_dict().items()}
    add_adapters(model, 4, 8.0)
    trainer(model, tmp_path).fit()
    model.eval()
    after = model.state_dict()
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert not torch.equal(logits(model), before)
    with disabled(model):
        assert torch.equal(logits(model), before)
    assert not torch.equal(logits(model), before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, precision: str) -> None:
    straight = base()
    add_adapters(straight, 4, 8.0)
    trainer(straight, tmp_path / "straight", precision=precision).fit()

    def cut(folder: Path) -> None:
        model = base()
        add_adapters(model, 4, 8.0)
        stopped = trainer(model, folder, precision=precision)
        one = stopped._one_step
        steps = 0

        def until() -> dict[str, Any]:
            nonlocal steps
            steps += 1
            if steps == 6:
                raise KeyboardInterrupt
            return one()

        stopped._one_step = until  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            stopped.fit()

    cut(tmp_path / "cut")
    resumed = base()
    add_adapters(resumed, 4, 8.0)
    trainer(resumed, tmp_path / "cut", precision=precision).fit()
    assert same(resumed.state_dict(), straight.state_dict())
    # The checkpoint is the adapter alone.
    stored = load_file(tmp_path / "cut/checkpoints/step-00000008/models/policy.safetensors")
    assert all(".lora_" in name for name in stored)
    assert len(stored) == 2 * 2 * len(TARGETS)


def test_adapters_have_their_own_rate_and_never_muon() -> None:
    model = base()
    add_adapters(model, 4, 8.0)
    name, parameter = next((n, p) for n, p in model.named_parameters() if ".lora_" in n)
    assert role_of(name, parameter) == "adapter"
    optimizer = Optimizer(model, OptimizerSettings(matrix_optimizer="muon", adapter_lr=0.125))
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    for tensor in model.parameters():
        if tensor.requires_grad:
            tensor.grad = torch.ones_like(tensor)
    optimizer.step(0, 1.0)
    # The first step of Adam is its rate.
    moved = {n: p.detach() - before[n] for n, p in model.named_parameters() if n in before}
    assert all(torch.allclose(m, torch.tensor(-0.125), atol=1e-4) for m in moved.values())


def test_files_are_in_the_layout_of_peft_and_load_again(tmp_path: Path) -> None:
    model = base()
    add_adapters(model, 4, 8.0, ("q_proj", "down_proj"))
    stirred(model)
    save_adapter(tmp_path, model, "the-base")
    stored = load_file(tmp_path / ADAPTER_WEIGHTS)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert stored[name].shape == (4, 32)
    assert stored[name.replace("lora_A", "lora_B")].shape == (32, 4)
    assert len(stored) == 8
    said = json.loads((tmp_path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert said["peft_type"] == "LORA" and said["r"] == 4 and said["lora_alpha"] == 8.0
    assert said["target_modules"] == ["down_proj", "q_proj"]
    again = base()
    load_adapter(tmp_path, again)
    assert torch.equal(logits(again), logits(model))


def test_peft_reads_it(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    from gristmill.model.weights import save_model

    model = base()
    save_model(tmp_path / "base", model)
    add_adapters(model, 4, 8.0)
    stirred(model)
    save_adapter(tmp_path / "adapter", model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    tokens_BT = torch.randint(0, 61, (3, 12), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert float((theirs(tokens_BT).logits - logits(model)).abs().max()) < 1e-4


def test_a_score_head_is_saved_whole_and_merges(tmp_path: Path) -> None:
    def scalar() -> ScalarModel:
        return ScalarModel.from_transformer(base(), seed=5)

    model = scalar()
    add_adapters(model, 4, 8.0)
    model.score.weight.requires_grad_(True)
    stirred(model)
    with torch.no_grad():
        model.score.weight.add_(1.0)
    save_adapter(tmp_path, model)
    assert read_json(tmp_path / ADAPTER_CONFIG)["modules_to_save"] == ["score"]
    assert "base_model.model.score.weight" in load_file(tmp_path / ADAPTER_WEIGHTS)
    again = scalar()
    load_adapter(tmp_path, again)
    tokens_BT = torch.arange(12).view(1, 12)
    with torch.no_grad():
        assert torch.equal(again(tokens_BT), model(tokens_BT))
        assert torch.allclose(merge(model)(tokens_BT), model(tokens_BT), atol=1e-5)


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="no linear layer is called w_proj"):
        add_adapters(base(), 4, 8.0, ("q_proj", "w_proj"))
    with pytest.raises(GristmillError, match="rank 0"):
        add_adapters(base(), 0, 8.0)
    model = base()
    add_adapters(model, 4, 8.0)
    with pytest.raises(GristmillError, match="adapters already"):
        add_adapters(model, 4, 8.0)
    with pytest.raises(GristmillError, match="no adapters to save"):
        save_adapter(tmp_path, base())
    save_adapter(tmp_path, model)
    with pytest.raises(GristmillError, match="does not fit this model"):
        load_adapter(tmp_path, base(TransformerConfig(**{**SHAPE.__dict__, "layers": 3})))
    said = read_json(tmp_path / ADAPTER_CONFIG)
    write_json(tmp_path / ADAPTER_CONFIG, {**said, "use_dora": True})
    with pytest.raises(GristmillError, match=r"only plain LoRA.*use_dora"):
        load_adapter(tmp_path, base())
    write_json(tmp_path / ADAPTER_CONFIG, said)
    save_file({"x": torch.ones(1)}, tmp_path / ADAPTER_WEIGHTS)
    with pytest.raises(GristmillError, match="does not fit"):
        load_adapter(tmp_path, base())
