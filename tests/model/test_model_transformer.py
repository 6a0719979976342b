import dataclasses
import math

import pytest
import torch

from gristmill.core.errors import GristmillError
from gristmill.model import attention as attention_module
from gristmill.model.attention import Visibility, attention
from gristmill.model.attention_model import positions_of_segments
from gristmill.model.flops import count_parameters, flops_per_token
from gristmill.model.transformer import Transformer, TransformerConfig, document_segments

CONFIG = TransformerConfig(
    vocab_size=53,
    width=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    mlp_width=48,
    context=64,
)


def build(config: TransformerConfig = CONFIG, seed: int = 0) -> Transformer:
    """Random weights everywhere: at initialisation the blocks do nothing."""
    model = Transformer(config)
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def some_tokens(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randint(0, 53, shape, generator=torch.Generator().manual_seed(seed))


def reference_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, allowed: torch.Tensor
) -> torch.Tensor:
    """One query at a time, from the definition."""
    out = torch.zeros(q.shape, dtype=torch.float64)
    share = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for t in range(q.shape[2]):
                seen = allowed[b if allowed.shape[0] > 1 else 0, t]
                keys, values = k[b, h // share][seen].double(), v[b, h // share][seen].double()
                weights = torch.softmax(keys @ q[b, h, t].double() / math.sqrt(q.shape[3]), 0)
                out[b, h, t] = weights @ values
    return out.float()


@pytest.mark.parametrize("limit", [0, 512])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_of_attention_equal_the_definition(
    monkeypatch: pytest.MonkeyPatch, limit: int, kv_heads: int, masked: bool
) -> None:
    monkeypatch.setattr(attention_module, "MATMUL_LIMIT", limit)
    monkeypatch.setattr(attention_module, "QUERY_BLOCK", 4)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, h, 11, 8, generator=generator) for h in (4, kv_heads, kv_heads))
    allowed = torch.ones(11, 11, dtype=torch.bool).tril()[None]
    if masked:
        segments = torch.tensor([[0] * 5 + [1] * 6, [0] * 2 + [1] * 9])
        allowed = allowed & (segments[:, :, None] == segments[:, None, :])
    out = attention(q, k, v, Visibility(causal=True, allowed_BTS=allowed if masked else None))
    assert torch.allclose(out, reference_attention(q, k, v, allowed), atol=1e-5)


@pytest.mark.parametrize("limit", [0, 512])
def test_autocast_keeps_the_way_and_the_precision(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(attention_module, "MATMUL_LIMIT", limit)
    called = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def spy(q: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        called.append(q.dtype)
        return fused(q, *args, **kwargs)

    weights = []
    softmax = torch.softmax

    def spy_softmax(scores: torch.Tensor, dim: int) -> torch.Tensor:
        weights.append(softmax(scores, dim).dtype)
        return softmax(scores, dim)

    monkeypatch.setattr(attention_module.F, "scaled_dot_product_attention", spy)
    monkeypatch.setattr(attention_module.torch, "softmax", spy_softmax)
    model, tokens = build(), some_tokens(2, 20)
    exact = model.head(model(tokens))
    with torch.autocast("cpu", torch.bfloat16):
        close = model.head(model(tokens))
    dtypes = [torch.float32] * 2 + [torch.bfloat16] * 2
    # Each way keeps to itself, in the precision of the projections.
    assert called == ([] if limit else dtypes)
    assert weights == (dtypes if limit else [])
    assert (exact - close.float()).abs().max() < 0.05 * exact.abs().max()


def test_gradients_are_the_same_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for limit in (0, 512):
        monkeypatch.setattr(attention_module, "MATMUL_LIMIT", limit)
        model = build()
        segments = torch.tensor([[0] * 9 + [1] * 14])
        model.head(model(some_tokens(1, 23), segments_BT=segments)).logsumexp(-1).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(build().parameters()))
    for first, second in zip(*gradients, strict=True):
        assert torch.allclose(first, second, atol=1e-4)


def test_no_token_sees_the_future() -> None:
    model, tokens = build(), some_tokens(1, 30)
    changed = tokens.clone()
    changed[0, 17] = (changed[0, 17] + 1) % 53
    difference = (model(tokens) - model(changed)).abs().amax(-1)[0]
    assert difference[:17].max() == 0
    assert difference[17:].min() > 1e-4


def test_packed_documents_equal_documents_alone() -> None:
    model = build()
    parts = [some_tokens(1, n, seed=n) for n in (7, 1, 19, 13)]
    row = torch.cat(parts, 1)
    segments = torch.repeat_interleave(torch.arange(4), torch.tensor([7, 1, 19, 13]))[None]
    packed = model.head(model(row, segments_BT=segments))
    alone = torch.cat([model.head(model(part)) for part in parts], 1)
    assert (packed - alone).abs().max() < 1e-5
    unmasked = model.head(model(row))
    assert (unmasked[:, 7:] - alone[:, 7:]).abs().max() > 1e-2


def test_segments_open_with_end_of_text() -> None:
    tokens = torch.tensor([[5, 6, 0, 7, 0, 0, 8], [0, 1, 2, 3, 4, 5, 6]])
    segments = document_segments(tokens, 0)
    assert segments.tolist() == [[0, 0, 1, 1, 2, 3, 3], [1] * 7]
    assert positions_of_segments(segments).tolist() == [[0, 1, 0, 1, 0, 0, 1], list(range(7))]


def test_positions_matter_only_as_differences() -> None:
    model, tokens = build(), some_tokens(2, 12)
    shifted = torch.arange(12)[None] + 40
    assert torch.allclose(model(tokens), model(tokens, positions_BT=shifted), atol=1e-4)
    stretched = torch.arange(12)[None] * 2
    assert (model(tokens) - model(tokens, positions_BT=stretched)).abs().max() > 1e-2


@pytest.mark.parametrize("limit", [0, 512])
def test_cache_in_pieces_equals_one_pass(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(attention_module, "MATMUL_LIMIT", limit)
    model, tokens = build(), some_tokens(3, 40)
    cache = model.new_cache(3, 40)
    with torch.no_grad():
        parts = [model(tokens[:, a:b], cache=cache) for a, b in ((0, 9), (9, 10), (10, 25))]
        parts += [model(tokens[:, i : i + 1], cache=cache) for i in range(25, 40)]
        assert torch.allclose(torch.cat(parts, 1), model(tokens), atol=1e-5)
        with pytest.raises(GristmillError, match="cache of 40"):
            model(tokens[:, :1], cache=cache)


def test_rows_at_different_places_of_a_cache() -> None:
    model, tokens = build(), some_tokens(2, 20)
    cache = model.new_cache(2, 20)
    with torch.no_grad():
        # Row 0 has read 4 tokens and row 1 has read 9; what row 0 holds after them is padding.
        padded = tokens[:, :9].clone()
        padded[0, 4:] = 0
        model(padded, cache=cache)
        for step in range(8):
            positions = torch.tensor([[4 + step], [9 + step]])
            hidden = model(tokens.gather(1, positions), positions_BT=positions, cache=cache)
            for row in (0, 1):
                end = int(positions[row]) + 1
                alone = model(tokens[row : row + 1, :end])[0, -1]
                assert torch.allclose(hidden[row, 0], alone, atol=1e-5)
        cache.keep(torch.tensor([1]))
        hidden = model(tokens[1:, 17:18], positions_BT=torch.tensor([[17]]), cache=cache)
        assert torch.allclose(hidden[0, 0], model(tokens[1:, :18])[0, -1], atol=1e-5)


def test_each_parameter_has_its_own_seed() -> None:
    first, second = Transformer(CONFIG), Transformer(dataclasses.replace(CONFIG, layers=3))
    first.init_weights(7)
    second.init_weights(7)
    other = dict(second.named_parameters())
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, other[name]), name
    again = Transformer(CONFIG)
    again.init_weights(8)
    assert not torch.equal(again.head_weight, first.head_weight)


def test_starts_as_the_identity_with_a_loss_near_uniform() -> None:
    model = Transformer(CONFIG)
    model.init_weights(0)
    tokens = some_tokens(4, 32)
    assert torch.equal(model(tokens), model.model.norm(model.model.embed_tokens(tokens)))
    loss = torch.nn.functional.cross_entropy(
        model.head(model(tokens))[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
    )
    assert abs(float(loss.detach()) - math.log(53)) < 0.1


@pytest.mark.parametrize("tied", [True, False])
def test_counts(tied: bool) -> None:
    config = dataclasses.replace(CONFIG, tied=tied)
    model, count = Transformer(config), count_parameters(config)
    assert model.num_parameters() == count.total
    assert model.num_matrix_parameters() == count.matrix
    # By hand: q and o 32 x 64, k and v 32 x 32, three of 32 x 48, two layers.
    blocks = 2 * (2 * 32 * 64 + 2 * 32 * 32 + 3 * 32 * 48)
    assert count.blocks == blocks
    assert count.total == blocks + 2 * (32 + 32 + 16 + 16) + 32 + 53 * 32 * (1 if tied else 2)
    attention_flops = 3 * 2 * (2 * 2 * 4 * 16) * (64 + 1) / 2
    assert flops_per_token(config) == 6 * (blocks + 53 * 32) + attention_flops


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"kv_heads": 3}, "evenly"), ({"head_dim": 15}, "even head_dim"), ({"layers": 0}, "layers")],
)
def test_refuses_impossible_shapes(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        dataclasses.replace(CONFIG, **wrong)
