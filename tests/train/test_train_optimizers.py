"""Cautious weight decay, under Muon and AdamW, against its formula."""

from __future__ import annotations

import pytest
import torch

from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.train.muon import decay_weights
from gristmill.train.optimizers import Optimizer, OptimizerSettings, role_of

SHAPE = TransformerConfig(
    vocab_size=11, width=8, layers=2, heads=2, kv_heads=1, head_dim=4, mlp_width=12, context=8,
    tied=False,
)  # fmt: skip
RATES = {"matrix_lr": 0.02, "embedding_lr": 0.01, "head_lr": 0.03, "other_lr": 0.01}


def made(kind: str, decay: float, cautious: bool) -> tuple[Transformer, Optimizer]:
    model = Transformer(SHAPE)
    model.init_weights(0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    settings = OptimizerSettings(
        matrix_optimizer=kind,  # type: ignore[arg-type]
        weight_decay=decay,
        cautious=cautious,
        **RATES,
    )
    return model, Optimizer(model, settings)


def moved(kind: str, decay: float, cautious: bool) -> Transformer:
    model, optimizer = made(kind, decay, cautious)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step(0, 0.5)
    return model


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_cautious_decay_is_only_of_what_the_update_shrinks(kind: str) -> None:
    start = dict(made(kind, 0.0, False)[0].named_parameters())
    free = dict(moved(kind, 0.0, False).named_parameters())
    whole = dict(moved(kind, 4.0, False).named_parameters())
    cautious = dict(moved(kind, 4.0, True).named_parameters())
    rates = {"matrix": 0.02, "head": 0.03}
    with torch.no_grad():
        for name, was in start.items():
            rate = rates.get(role_of(name, was))
            if rate is None:  # norms and an embedding with a head of its own never decay
                assert torch.equal(free[name], cautious[name])
                continue
            share = 0.5 * rate * 4.0
            shrinks = (was - free[name]) * was > 0
            assert 0.2 < shrinks.float().mean() < 0.8
            expected = free[name] - share * torch.where(shrinks, was, 0.0)
            assert torch.allclose(cautious[name], expected, atol=1e-6), name
            assert torch.allclose(whole[name], free[name] - share * was, atol=1e-6), name


def test_decay_by_hand() -> None:
    weight, update = torch.tensor([2.0, -2.0, 2.0, -2.0]), torch.tensor([1.0, -1.0, -1.0, 0.0])
    decay_weights([weight], [update], 0.25, cautious=True)
    assert weight.tolist() == [1.5, -1.5, 2.0, -2.0]
    decay_weights([weight], [update], 0.5, cautious=False)
    assert weight.tolist() == [0.75, -0.75, 1.0, -1.0]


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_cautious_optimizer_is_loaded_exactly(kind: str) -> None:
    models, optimizers = zip(*(made(kind, 0.5, True) for _ in range(2)), strict=True)
    for step in range(4):
        if step == 2:
            models[1].load_state_dict(models[0].state_dict())
            state = optimizers[0].tensors()
            optimizers[1].load({name: tensor.clone() for name, tensor in state.items()})
        for model, optimizer in list(zip(models, optimizers, strict=True))[: 1 + (step >= 2)]:
            generator = torch.Generator().manual_seed(step)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step(step, 1.0)
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_gradients_are_multiplied_where_they_are_read(kind: str) -> None:
    """Three steps, each with a scale of its own: the averages of both are of scaled gradients."""
    ends = []
    for multiplied_before in (True, False):
        model, optimizer = made(kind, 0.1, False)
        generator = torch.Generator().manual_seed(2)
        for step, scale in enumerate((0.03, 1.0, 7.0)):
            for parameter in model.parameters():
                gradient = torch.randn(parameter.shape, generator=generator)
                parameter.grad = gradient * scale if multiplied_before else gradient
            optimizer.step(step, 0.5, 1.0 if multiplied_before else scale)
        ends.append((dict(model.named_parameters()), optimizer.tensors()))
    for before, after in zip(*ends, strict=True):
        assert set(before) == set(after)
        for name in before:
            torch.testing.assert_close(after[name], before[name], rtol=1e-4, atol=2e-4), name
            assert not torch.equal(before[name], torch.zeros_like(before[name]))
