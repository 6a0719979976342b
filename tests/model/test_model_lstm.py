"""The LSTM: its cell against plain Python, document borders, its cache, its files."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gristmill.core.errors import GristmillError
from gristmill.model.flops import count_parameters, flops_per_token, forward_flops_per_token
from gristmill.model.lora import add_adapters
from gristmill.model.lstm import LstmConfig, LstmModel, like_lengths
from gristmill.model.scalar import ScalarModel
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.model.weights import load_config, load_model, require_exportable, save_model

TIED = LstmConfig(vocab_size=50, width=12, layers=2, hidden=20, context=64)
UNTIED = LstmConfig(vocab_size=50, width=16, layers=3, hidden=16, context=64, tied=False)


def made(config: LstmConfig = TIED, seed: int = 0) -> LstmModel:
    model = LstmModel(config)
    model.init_weights(seed)
    return model.eval()


@pytest.fixture(params=[TIED, UNTIED], ids=["tied, projected", "untied, as wide as hidden"])
def model(request: pytest.FixtureRequest) -> LstmModel:
    return made(request.param)


def tokens(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 50, (rows, length), generator=torch.Generator().manual_seed(seed))


def cell_by_hand(layer: torch.nn.Module, x_TD: list[list[float]]) -> list[list[float]]:
    """i, f, g, o of each unit, one multiplication at a time."""
    w, u, b = layer.weight_ih.tolist(), layer.weight_hh.tolist(), layer.bias.tolist()
    size = len(u[0])
    h, c, out = [0.0] * size, [0.0] * size, []
    for x in x_TD:
        gates = [
            b[k]
            + sum(wk * xk for wk, xk in zip(w[k], x, strict=True))
            + sum(uk * hk for uk, hk in zip(u[k], h, strict=True))
            for k in range(4 * size)
        ]
        sigmoid = [1 / (1 + math.exp(-gate)) for gate in gates]
        forget, output = sigmoid[size : 2 * size], sigmoid[3 * size :]
        c = [forget[j] * c[j] + sigmoid[j] * math.tanh(gates[2 * size + j]) for j in range(size)]
        h = [output[j] * math.tanh(c[j]) for j in range(size)]
        out.append(h)
    return out


def test_the_layers_compute_the_cell_of_the_papers(model: LstmModel) -> None:
    one = tokens(1, 9)
    x: list[list[float]] = model.embedding_weight[one[0]].tolist()
    for layer in model.model.stack():
        x = cell_by_hand(layer, x)
    hidden = torch.tensor(x)
    if model.config.hidden != model.config.width:
        hidden = hidden @ model.model.layers[-1].weight.t()
    assert torch.allclose(model(one)[0], hidden, atol=1e-5)


def test_gradients_are_those_of_torch_lstm_and_of_finite_differences(model: LstmModel) -> None:
    rows, head = tokens(3, 7), torch.randn(50, generator=torch.Generator().manual_seed(3))
    (model.head(model(rows)) * head).sum().backward()
    inputs = [model.config.width] + [model.config.hidden] * (model.config.layers - 1)
    stack = [torch.nn.LSTM(size, model.config.hidden, batch_first=True) for size in inputs]
    x = model.embedding_weight.detach()[rows]
    for own, theirs in zip(model.model.stack(), stack, strict=True):
        theirs.load_state_dict({
            "weight_ih_l0": own.weight_ih, "weight_hh_l0": own.weight_hh,
            "bias_ih_l0": own.bias, "bias_hh_l0": torch.zeros_like(own.bias),
        })  # fmt: skip
        x, _ = theirs(x)
    if model.config.hidden != model.config.width:
        x = x @ model.model.layers[-1].weight.detach().t()
    ((x @ model.head_weight.detach().t()) * head).sum().backward()
    for own, theirs in zip(model.model.stack(), stack, strict=True):
        for mine, other in (
            (own.weight_ih, theirs.weight_ih_l0),
            (own.weight_hh, theirs.weight_hh_l0),
            (own.bias, theirs.bias_ih_l0),
        ):
            assert torch.allclose(mine.grad, other.grad, atol=1e-4, rtol=1e-4)
    exact = model.double()
    weight = exact.model.stack()[0].weight_hh
    found = float(weight.grad[3, 5])
    ends = []
    for step in (1e-4, -1e-4):
        with torch.no_grad():
            weight[3, 5] += step
            ends.append(float((exact.head(exact(rows)) * head).sum()))
            weight[3, 5] -= step
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3, abs=1e-4)


def borders() -> torch.Tensor:
    segments = torch.zeros(4, 40, dtype=torch.int64)
    segments[0, 7:], segments[0, 8:], segments[0, 30:] = 1, 2, 5
    segments[1, 1:], segments[2, 39] = 3, 1
    return segments  # row 3 is one document


def test_a_packed_row_gives_what_its_documents_give_alone(model: LstmModel) -> None:
    rows, segments = tokens(4, 40), borders()
    packed = model.head(model(rows, segments_BT=segments))
    for row in range(4):
        changes = (segments[row, 1:] != segments[row, :-1]).nonzero()[:, 0] + 1
        edges = [0, *changes.tolist(), 40]
        for start, stop in itertools.pairwise(edges):
            alone = model.head(model(rows[row : row + 1, start:stop]))
            assert torch.allclose(packed[row, start:stop], alone[0], atol=1e-5)
    assert not torch.allclose(packed[0], model.head(model(rows))[0], atol=1e-3)


def test_nothing_flows_back_over_a_border() -> None:
    model, rows, segments = made(), tokens(4, 40), borders()
    seen: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, args: object, out: torch.Tensor) -> None:
        out.retain_grad()
        seen.append(out)

    model.model.embed_tokens.register_forward_hook(keep)
    model(rows[:1], segments_BT=segments[:1])[0, 8:30].sum().backward()
    grads = [out.grad for out in seen if out.grad is not None]
    touched = sum(int((grad.abs().sum(dim=-1) > 0).sum()) for grad in grads)
    assert touched == 22  # the third document's tokens alone


def test_sequences_of_like_length_share_a_batch() -> None:
    lengths = np.array([5, 100, 98, 4, 5, 97, 1, 100])
    batches = like_lengths(lengths)
    assert sorted(np.concatenate(batches).tolist()) == list(range(8))
    assert [sorted(lengths[batch].tolist()) for batch in batches] == [
        [97, 98, 100, 100], [4, 5, 5], [1]
    ]  # fmt: skip
    assert [batch.tolist() for batch in like_lengths([7])] == [[0]]


def test_a_cache_gives_what_the_whole_row_gives(model: LstmModel) -> None:
    rows = tokens(3, 20)
    whole = model(rows)
    cache = model.new_cache(3, 20)
    parts = [model(rows[:, :6], cache=cache)]
    parts += [model(rows[:, i : i + 1], cache=cache) for i in range(6, 20)]
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)
    assert cache.length == cache.capacity == 20
    with pytest.raises(GristmillError, match="21 tokens do not fit"):
        model(rows[:, :1], cache=cache)


def test_padding_on_the_right_never_touches_the_state(model: LstmModel) -> None:
    rows, lengths = tokens(4, 12), torch.tensor([5, 12, 1, 9])
    padded = rows.clone()
    for row, length in enumerate(lengths.tolist()):
        padded[row, length:] = 49
    cache = model.new_cache(4, 16)
    read = model(padded, cache=cache, lengths_B=lengths)
    following = tokens(4, 1, seed=8)
    after = model(following, cache=cache, positions_BT=lengths[:, None])
    for row, length in enumerate(lengths.tolist()):
        alone = model(torch.cat([rows[row, :length], following[row]])[None])[0]
        assert torch.allclose(read[row, :length], alone[:length], atol=1e-5)
        assert torch.allclose(after[row, 0], alone[length], atol=1e-5)
    assert cache.length == 13


def test_rows_of_a_cache_are_kept_copied_and_joined(model: LstmModel) -> None:
    rows, following = tokens(3, 6), tokens(4, 1, seed=8)
    cache, other = model.new_cache(3, 10), model.new_cache(1, 30)
    model(rows, cache=cache)
    model(rows[:1, :4], cache=other)
    cache.keep(torch.tensor([2, 0, 2]))
    cache.join(other)
    assert (cache.rows, cache.capacity, cache.length) == (4, 30, 6)
    after = model(following, cache=cache, positions_BT=torch.tensor([[6], [6], [6], [4]]))
    prefixes = [rows[2], rows[0], rows[2], rows[0, :4]]
    for row, prefix in enumerate(prefixes):
        alone = model(torch.cat([prefix, following[row]])[None])[0, -1]
        assert torch.allclose(after[row, 0], alone, atol=1e-5)


def test_segments_and_a_cache_are_refused_together() -> None:
    model = made()
    with pytest.raises(GristmillError, match="cannot be combined"):
        model(tokens(1, 3), cache=model.new_cache(1, 4), segments_BT=torch.zeros(1, 3))


def test_the_forget_gate_starts_open_and_seeds_decide_the_rest() -> None:
    model = made(seed=4)
    bias = model.model.stack()[1].bias.view(4, 20)
    assert bias[1].tolist() == [1.0] * 20
    assert not bool(bias[[0, 2, 3]].any())
    again, other = made(seed=4), made(seed=5)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(model.embedding_weight, other.embedding_weight)


def test_dropout_keeps_one_mask_for_a_row_and_only_while_it_trains() -> None:
    model = made(LstmConfig(50, 64, 1, 64, 32, dropout=0.5)).train()
    torch.manual_seed(0)
    dropped = model(tokens(2, 10)) == 0
    assert bool((dropped == dropped[:, :1]).all()), "a unit is off for the whole row"
    assert 0.25 < float(dropped.float().mean()) < 0.75
    assert not torch.equal(dropped[0, 0], dropped[1, 0])
    assert not bool((model.eval()(tokens(2, 10)) == 0).any())


def test_tied_weights_are_one_matrix() -> None:
    tied, untied = made(TIED), made(UNTIED)
    assert tied.head_weight is tied.embedding_weight
    assert untied.head_weight is not untied.embedding_weight
    tied.head(tied(tokens(1, 4))).sum().backward()
    assert bool((tied.embedding_weight.grad.abs().sum(dim=1) > 0).all()), "the head's gradient too"


@pytest.mark.parametrize("config", [TIED, UNTIED])
def test_counts_are_those_of_the_module(config: LstmConfig) -> None:
    model, count = made(config), count_parameters(config)
    assert count.total == model.num_parameters()
    assert count.matrix == model.num_matrix_parameters()
    assert count.without_embedding == count.total - config.vocab_size * config.width * (
        1 if config.tied else 2
    )
    assert flops_per_token(config) == 6 * count.matrix == flops_per_token(config, 1000)
    assert forward_flops_per_token(config, 7) == 2 * count.matrix


def test_a_folder_gives_the_model_back(model: LstmModel, tmp_path: Path) -> None:
    save_model(tmp_path, model)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gristmill_lstm"
    assert load_config(tmp_path) == model.config
    again = load_model(tmp_path)
    assert isinstance(again, LstmModel)
    assert torch.equal(again(tokens(2, 9)), model(tokens(2, 9)))


def test_one_flipped_shape_is_refused_by_name(tmp_path: Path) -> None:
    save_model(tmp_path, made())
    stored = load_file(tmp_path / "model.safetensors")
    name = "model.layers.1.weight_ih"
    stored[name] = stored[name].t().contiguous()
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(GristmillError, match=r"layers\.1\.weight_ih is \(20, 80\), not \(80, 20\)"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("hidden_size", None, "wrong type"),
        ("embedding_size", 0, "width must be at least 1"),
        ("dropout", 1.5, "dropout"),
    ],
)
def test_an_unsound_configuration_is_refused(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    save_model(tmp_path, made())
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, key: value}))
    with pytest.raises(GristmillError, match=said):
        load_config(tmp_path)
    del config[key]
    path.write_text(json.dumps(config))
    if key != "dropout":
        with pytest.raises(GristmillError, match=f"{key} is missing"):
            load_config(tmp_path)


def test_what_needs_a_transformer_says_so(tmp_path: Path) -> None:
    model = made()
    save_model(tmp_path, model)
    with pytest.raises(GristmillError, match="an LSTM cannot be exported") as refused:
        require_exportable(tmp_path)
    assert "architecture: transformer" in str(refused.value)
    with pytest.raises(GristmillError, match="a reward or value model needs a transformer"):
        ScalarModel.from_transformer(model, 0)
    with pytest.raises(GristmillError, match="an adapter needs a transformer"):
        add_adapters(model, 2, 4.0)
    shape = TransformerConfig(50, 16, 1, 2, 2, 8, 32, 64)
    other = Transformer(shape)
    other.init_weights(0)
    save_model(tmp_path / "transformer", other)
    assert require_exportable(tmp_path / "transformer") == shape
