"""The second transformer: each switch, its cache and n-grams, document borders, its files."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.model.flops import attention_flops_per_token, count_parameters
from gristmill.model.language_model import LanguageModel
from gristmill.model.ngram_rows import ngram_rows
from gristmill.model.scalar import ScalarModel
from gristmill.model.speedrun import Speedrun, rms_normed
from gristmill.model.speedrun_config import SpeedrunConfig
from gristmill.model.weights import (
    expected_shapes,
    load_config,
    load_model,
    require_exportable,
    save_model,
)
from gristmill.train.cross_entropy import cross_entropy_sum
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import role_of

SMALL = SpeedrunConfig(
    vocab_size=50, width=24, layers=3, heads=4, kv_heads=2, head_dim=6, mlp_width=40, context=64,
    value_embeddings=2, logit_cap=5.0, window=5, full_every=3, ngrams=(2, 3), ngram_rows=61,
)  # fmt: skip
PLAIN = dataclasses.replace(
    SMALL, tied=True, mlp="swiglu", norm_weights=True, qk_norm=False, zero_outputs=False,
    residual_scalars=False, value_embeddings=0, logit_cap=0.0, window=0, ngrams=(), ngram_rows=0,
)  # fmt: skip
SWITCHES: tuple[dict[str, Any], ...] = (
    {"mlp": "relu2"}, {"norm_weights": False}, {"qk_norm": True}, {"zero_outputs": True},
    {"residual_scalars": True}, {"value_embeddings": 1}, {"logit_cap": 3.0}, {"window": 3},
    {"ngrams": (2,), "ngram_rows": 3000}, {"tied": False}, {"rope_theta": 50.0},
)  # fmt: skip


def made(config: SpeedrunConfig, seed: int = 0) -> Speedrun:
    """Every parameter away from 0, so that every part counts."""
    model = Speedrun(config)
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(params=[SMALL, PLAIN], ids=["every trick", "no trick"])
def model(request: pytest.FixtureRequest) -> Speedrun:
    return made(request.param)


def tokens(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 50, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model: LanguageModel, rows: torch.Tensor, **more: Any) -> torch.Tensor:
    return model.head(model(rows, **more))


def test_a_token_depends_on_nothing_after_it(model: Speedrun) -> None:
    rows = tokens(2, 20)
    other = rows.clone()
    other[:, 12:] = tokens(2, 8, seed=7)
    assert torch.allclose(logits(model, rows)[:, :12], logits(model, other)[:, :12], atol=1e-5)
    assert not torch.allclose(logits(model, rows)[:, 12:], logits(model, other)[:, 12:], atol=1e-2)


def test_a_packed_row_gives_what_its_documents_give_alone(model: Speedrun) -> None:
    rows = tokens(2, 30)
    segments = torch.zeros(2, 30, dtype=torch.int64)
    segments[0, 11:], segments[0, 12:], segments[1, 25:] = 1, 2, 1
    packed = logits(model, rows, segments_BT=segments)
    for row, edges in ((0, (0, 11, 12, 30)), (1, (0, 25, 30))):
        for start, stop in itertools.pairwise(edges):
            alone = logits(model, rows[row : row + 1, start:stop])
            assert torch.allclose(packed[row : row + 1, start:stop], alone, atol=1e-4)


def test_reading_in_pieces_through_the_cache_equals_reading_at_once(model: Speedrun) -> None:
    rows = tokens(3, 24)
    whole = logits(model, rows)
    cache = model.new_cache(3, 24)
    pieces = [
        logits(model, rows[:, start:stop], cache=cache)
        for start, stop in ((0, 9), (9, 10), (10, 11), (11, 20), (20, 24))
    ]
    assert torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-4)


def test_rows_of_unequal_length_share_a_cache(model: Speedrun) -> None:
    """Right padding, rows at their own positions, rows that leave, come and grow."""
    first, second = tokens(1, 7, seed=3), tokens(1, 12, seed=4)
    padded = torch.zeros(2, 12, dtype=torch.int64)
    padded[0, :7], padded[1] = first[0], second[0]
    cache = model.new_cache(2, 12)
    logits(model, padded, cache=cache, lengths_B=torch.tensor([7, 12]))
    cache.keep(torch.tensor([1, 0]))
    late = tokens(1, 9, seed=5)
    joined = model.new_cache(1, 9)
    logits(model, late, cache=joined)
    cache.grow(16)
    cache.join(joined)
    more = tokens(3, 3, seed=6)
    at = torch.tensor([[12], [7], [9]])
    ends = [second, first, late]
    for step in range(3):
        got = logits(model, more[:, step : step + 1], cache=cache, positions_BT=at + step)
        for row, start in enumerate(ends):
            alone = torch.cat([start, more[row : row + 1, : step + 1]], dim=1)
            assert torch.allclose(got[row, 0], logits(model, alone)[0, -1], atol=1e-4)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: next(iter(switch)))
def test_each_switch_alone_changes_the_model_and_is_counted(switch: dict[str, Any]) -> None:
    config = dataclasses.replace(PLAIN, **switch)
    model = Speedrun(config)
    model.init_weights(0)
    count = count_parameters(config)
    assert count.total == model.num_parameters()
    assert count.matrix == model.num_matrix_parameters()
    if "zero_outputs" in switch:
        assert all(not block.self_attn.o_proj.weight.any() for block in model.model.layers)
    else:
        rows = tokens(2, 16)
        assert not torch.allclose(logits(made(PLAIN), rows), logits(made(config), rows), atol=1e-3)


def test_matrices_of_the_blocks_alone_are_matrices_to_the_optimizer() -> None:
    roles = {name: role_of(name, p) for name, p in Speedrun(SMALL).named_parameters()}
    assert roles["model.embed_ngrams.weight"] == roles["model.embed_values.weight"] == "embedding"
    assert roles["lm_head.weight"] == "head" and roles["model.layers.0.scalars"] == "other"
    assert roles["model.layers.2.mlp.up_proj.weight"] == "matrix"


def test_a_window_hides_what_lies_before_it() -> None:
    config = dataclasses.replace(PLAIN, layers=2, window=4, full_every=2)
    model = made(config)
    rows = tokens(1, 12)
    other = rows.clone()
    other[0, 0] = (other[0, 0] + 1) % 50
    first = model.model.layers[0]
    seen: list[torch.Tensor] = []
    hook = first.register_forward_hook(lambda _, __, out: seen.append(out.detach()))
    logits(model, rows), logits(model, other)
    hook.remove()
    assert torch.equal(seen[0][0, 4:], seen[1][0, 4:])
    assert not torch.allclose(seen[0][0, 3], seen[1][0, 3], atol=1e-4)
    # A token sees 4 keys in the first layer, and all in the last.
    assert attention_flops_per_token(config, 10) == 4 * (4 + 10) * 4 * 6


def test_the_cap_bounds_logits_and_the_loss_heeds_it() -> None:
    model = made(SMALL)
    rows, targets = tokens(2, 16), tokens(2, 16, seed=2)
    with torch.no_grad():
        model.lm_head.weight.mul_(50)
    capped = logits(model, rows)
    assert capped.abs().max() <= 5.0 and capped.abs().max() > 4.9
    loss = NextToken()({"tokens_BT": rows, "targets_BT": targets}, {"policy": model}).total
    by_hand = torch.nn.functional.cross_entropy(
        capped.flatten(0, 1), targets.flatten(), reduction="sum"
    )
    assert float(loss.detach()) == pytest.approx(float(by_hand), rel=1e-5)


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_gradients_through_the_cap_are_those_of_autograd(z_loss: float) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(20, 8, generator=generator).requires_grad_()
    weight = torch.randn(11, 8, generator=generator).requires_grad_()
    targets = torch.randint(0, 11, (20,), generator=generator)
    total, plain = cross_entropy_sum(
        hidden, weight, targets, z_loss=z_loss, logit_cap=2.0, chunk_rows=7
    )
    total.backward()
    found = hidden.grad.clone(), weight.grad.clone()
    hidden.grad = weight.grad = None
    values = 2.0 * torch.tanh(hidden @ weight.T / 2.0)
    expected = torch.nn.functional.cross_entropy(values, targets, reduction="sum")
    assert float(plain) == pytest.approx(float(expected.detach()), rel=1e-5)
    (expected + z_loss * values.logsumexp(dim=1).square().sum()).backward()
    assert torch.allclose(found[0], hidden.grad, atol=1e-5)
    assert torch.allclose(found[1], weight.grad, atol=1e-5)


def test_rows_of_ngrams_against_plain_integers() -> None:
    run = tokens(4, 9)[..., None].repeat(1, 1, 3)
    run[..., 1], run[..., 2] = tokens(4, 9, seed=2), -1
    wrapped = 2**64
    for rows in (51**3, 1000):
        found = ngram_rows(run, 50, rows)
        for row in range(4):
            for place in range(9):
                index = 0
                for value in run[row, place].tolist():
                    index = index * 51 + value + 1
                if rows == 1000:
                    index = _signed(index * 0x9E3779B97F4A7C15 % wrapped)
                    index = _signed((index ^ (index >> 29)) * 0x9E3779B97F4A7C15 % wrapped)
                    index = ((index >> 32) & 0x7FFFFFFF) % 1000
                assert int(found[row, place]) == index
    spread = ngram_rows(torch.cartesian_prod(torch.arange(50), torch.arange(50))[None], 50, 997)
    assert len(spread.unique()) > 0.85 * 997


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def test_it_starts_as_the_embedding_alone_and_learns() -> None:
    model = Speedrun(dataclasses.replace(SMALL, logit_cap=0.0))
    model.init_weights(0)
    rows = tokens(1, 10)
    hidden = model(rows)
    # Normalised before the blocks and after.
    embedded = rms_normed(rms_normed(model.embedding_weight[rows], 1e-6), 1e-6)
    assert torch.allclose(hidden, embedded, atol=1e-5)
    loss = NextToken()({"tokens_BT": rows[:, :-1], "targets_BT": rows[:, 1:]}, {"policy": model})
    assert float(loss.total.detach()) / 9 == pytest.approx(math.log(50), abs=0.1)
    loss.total.backward()
    for name, parameter in model.named_parameters():
        # Behind outputs of 0 nothing is learned in the first step.
        behind = any(part in name for part in ("q_proj", "k_proj", "v_proj", "up_proj", "values"))
        assert bool(parameter.grad.any()) != behind, name


def test_saved_and_loaded(tmp_path: Path, model: Speedrun) -> None:
    save_model(tmp_path, model)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gristmill_speedrun"
    assert load_config(tmp_path) == model.config
    loaded = load_model(tmp_path)
    assert isinstance(loaded, Speedrun)
    rows = tokens(2, 12)
    assert torch.equal(logits(model, rows), logits(loaded, rows))
    assert set(expected_shapes(model.config)) == set(model.state_dict())


def test_refusals(tmp_path: Path) -> None:
    save_model(tmp_path, made(SMALL))
    with pytest.raises(GristmillError, match="not exportable"):
        require_exportable(tmp_path)
    with pytest.raises(GristmillError, match="not a speedrun"):
        ScalarModel.from_transformer(made(SMALL), 0)
    found = json.loads((tmp_path / "config.json").read_text())
    for name, value in (("layers", "3"), ("mlp", "gelu"), ("ngrams", 2), ("tied", 1)):
        (tmp_path / "config.json").write_text(json.dumps({**found, name: value}))
        with pytest.raises(GristmillError, match=f"{name} cannot be"):
            load_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**found, "kv_heads": 3}))
    with pytest.raises(GristmillError, match="cannot share"):
        load_config(tmp_path)
    model = made(SMALL)
    cache = model.new_cache(1, 4)
    with pytest.raises(GristmillError, match="do not fit"):
        model(tokens(1, 5), cache=cache)
