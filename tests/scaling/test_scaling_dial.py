"""The size dial: shapes near the wish, numbers that follow one another, reasons for all."""

import itertools
import math

import pytest

from gristmill.core.errors import GristmillError
from gristmill.model.flops import count_parameters, flops_per_token
from gristmill.model.transformer import Transformer
from gristmill.scaling import dial
from gristmill.scaling.cost import cost, explain


@pytest.mark.parametrize("wish", [1e6, 2e6, 4e6, 17e6, 124e6, 1e9, 7e9, 70e9])
def test_the_shape_is_near_the_wish(wish: float) -> None:
    vocab = 4096 if wish < 1e7 else 32768
    found = dial.turn(wish, vocab_size=vocab, context=256)
    assert 1 / 1.2 < found.parameters / wish < 1.2
    aspect = found.model.width / found.model.layers
    assert 0.4 <= aspect / dial.ideal_aspect(found.model.layers) <= 2.5
    assert found.model.heads % found.model.kv_heads == 0


def test_bigger_wishes_give_bigger_runs() -> None:
    turned = [dial.turn(10.0**p, vocab_size=32768, context=1024, tied=True) for p in (7, 8, 9, 10)]
    for small, large in itertools.pairwise(turned):
        assert small.parameters < large.parameters
        assert small.tokens < large.tokens
        assert small.batch_rows <= large.batch_rows
        assert small.embedding_lr > large.embedding_lr


def test_the_demo_shape_and_budget() -> None:
    found = dial.turn(4e6, vocab_size=4096, context=256, tokens=2_400_000)
    assert (found.model.layers, found.model.width, found.batch_rows) == (6, 192, 8)
    assert found.parameters == dial.DEMO.parameters
    assert abs(found.tokens - 2_400_000) < 8 * 256
    assert found.matrix_lr == dial.DEMO.matrix_lr


def test_the_default_budget_is_compute_optimal() -> None:
    found = dial.turn(4e6, vocab_size=4096, context=256)
    assert found.tokens / found.parameters == pytest.approx(20, rel=1e-3)


def test_an_override_moves_what_follows_from_it() -> None:
    found = dial.turn(4e6, vocab_size=4096, context=256, overrides={"width": 256, "layers": 4})
    assert (found.model.width, found.model.layers, found.model.heads) == (256, 4, 4)
    assert found.embedding_lr == pytest.approx(dial.DEMO.embedding_lr * math.sqrt(192 / 256))
    assert {r.name: r.why for r in found.reasons}["width"] == "set"


def test_a_batch_larger_than_the_budget_is_refused() -> None:
    with pytest.raises(GristmillError, match="a batch of 10,000 rows"):
        dial.turn(
            2e6, vocab_size=4096, context=256, tokens=1_000_000, overrides={"batch_rows": 10_000}
        )
    whole = dial.turn(2e6, vocab_size=4096, context=256, tokens=1000, overrides={"batch_rows": 1})
    assert whole.steps == 4


def test_an_unknown_override_is_refused() -> None:
    with pytest.raises(GristmillError, match="widht"):
        dial.turn(4e6, vocab_size=4096, context=256, overrides={"widht": 256})


def test_an_embedding_that_is_the_head_too_moves_slower() -> None:
    apart, tied = (
        dial.turn(6e5, vocab_size=2048, context=256, tied=choice, overrides={"width": 96})
        for choice in (False, True)
    )
    assert apart.embedding_lr == pytest.approx(dial.DEMO.embedding_lr * math.sqrt(2))
    assert tied.embedding_lr == pytest.approx(0.03, rel=0.02)
    assert apart.matrix_lr == tied.matrix_lr


def test_a_wish_below_the_vocabulary_is_refused() -> None:
    with pytest.raises(GristmillError, match="vocabulary"):
        dial.turn(1e5, vocab_size=100_000, context=256)


def test_a_large_vocabulary_ties_the_head() -> None:
    assert dial.turn(17e6, vocab_size=50_000, context=256).model.tied
    assert not dial.turn(4e6, vocab_size=4096, context=256).model.tied


def test_every_number_has_a_reason() -> None:
    found = dial.turn(4e6, vocab_size=4096, context=256)
    given = {reason.name for reason in found.reasons}
    assert {"layers", "width", "heads", "kv_heads", "head_dim", "mlp_width", "batch_rows", "steps",
            "warmup", "tokens", "matrix_lr", "embedding_lr", "head_lr", "other_lr", "weight_decay",
            "tied", "parameters"} == given  # fmt: skip
    assert all(reason.why for reason in found.reasons)
    assert any("FLOPs" in line for line in explain(found))


def test_costs_are_what_the_model_counts() -> None:
    found = dial.turn(4e6, vocab_size=4096, context=256, tokens=2_400_000)
    model = Transformer(found.model)
    assert model.num_parameters() == found.parameters
    needs = cost(found, flops_per_second=1e11)
    assert needs.flops == flops_per_token(found.model) * found.tokens
    assert needs.seconds == pytest.approx(needs.flops / 1e11)
    count = count_parameters(found.model)
    # Weights, one momentum for the blocks, two moments for the rest, 4 bytes each.
    assert needs.checkpoint_bytes == 4 * (2 * count.blocks + 3 * (count.total - count.blocks))
