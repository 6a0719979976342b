"""Cross-entropy, Muon, optimizers, schedules, permutation, source, checkpoints, metrics."""

from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.core.errors import DamagedArtifact, GristmillError
from gristmill.model.transformer import Transformer
from gristmill.tokenizer.shards import TokenShards
from gristmill.train import checkpoints
from gristmill.train.cross_entropy import cross_entropy_sum
from gristmill.train.interfaces import Moment, Share, View
from gristmill.train.metrics import MetricsLog, read_metrics
from gristmill.train.muon import Muon, newton_schulz
from gristmill.train.optimizers import Optimizer, OptimizerSettings, role_of
from gristmill.train.permutation import permute
from gristmill.train.probes import HeldoutLoss, SampleText
from gristmill.train.schedules import Schedule, ramp
from gristmill.train.starting import start_weights
from gristmill.train.text import Phase, TextSource

_spec = importlib.util.spec_from_file_location(
    "train_conftest", Path(__file__).parent / "conftest.py"
)
assert _spec is not None and _spec.loader is not None
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)
SHAPE, CONTEXT, VOCAB, EOT = shared.SHAPE, shared.CONTEXT, shared.VOCAB, shared.EOT


# --- cross-entropy


@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_chunked_cross_entropy_equals_the_plain_one(
    chunk_rows: int, masked: bool, z_loss: float
) -> None:
    torch.manual_seed(0)
    hidden_ND = torch.randn(37, 12, requires_grad=True)
    weight_VD = torch.randn(50, 12, requires_grad=True)
    targets_N = torch.randint(0, 50, (37,))
    mask_N = (torch.rand(37) * (torch.rand(37) < 0.6)) if masked else None
    logits_NV = hidden_ND @ weight_VD.T
    each_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
    with_z_N = each_N + z_loss * torch.logsumexp(logits_NV, -1).square()
    scale_N = torch.ones(37) if mask_N is None else mask_N
    expected = torch.autograd.grad((with_z_N * scale_N).sum() / 3, (hidden_ND, weight_VD))
    total, plain = cross_entropy_sum(
        hidden_ND, weight_VD, targets_N, mask_N, z_loss=z_loss, chunk_rows=chunk_rows
    )
    assert plain.item() == pytest.approx((each_N * scale_N).sum().item(), rel=1e-6)
    assert total.item() == pytest.approx((with_z_N * scale_N).sum().item(), rel=1e-6)
    found = torch.autograd.grad(total / 3, (hidden_ND, weight_VD))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)


def test_a_row_of_weight_zero_counts_nothing_even_where_it_is_not_finite() -> None:
    hidden_ND = torch.ones(2, 3, requires_grad=True)
    with torch.no_grad():
        hidden_ND[1] = math.inf
    total, _ = cross_entropy_sum(
        hidden_ND, torch.ones(4, 3), torch.tensor([0, 1]), torch.tensor([1.0, 0.0])
    )
    assert total.item() == pytest.approx(math.log(4))


def test_without_gradients_none_are_computed() -> None:
    weight_VD = torch.randn(50, 12, requires_grad=True)
    with torch.no_grad():
        total, _ = cross_entropy_sum(torch.randn(5, 12), weight_VD, torch.arange(5))
    assert not total.requires_grad


# --- Muon


def reference_newton_schulz(matrix: np.ndarray, steps: int) -> np.ndarray:
    """The quintic in float64 on one matrix, as its formula reads."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_newton_schulz_is_its_formula(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(3, *shape))
    ours = newton_schulz(torch.from_numpy(matrices), 5, torch.float64).numpy()
    for one, matrix in zip(ours, matrices, strict=True):
        np.testing.assert_allclose(
            one, reference_newton_schulz(matrix, 5), atol=1e-6
        )  # ours adds 1e-7 to the norm
    low = newton_schulz(torch.from_numpy(matrices)).float().numpy()
    assert np.abs(low - ours).max() < 0.05
    singular = np.linalg.svd(ours, compute_uv=False)
    assert singular.min() > 0.3 and singular.max() < 1.3


def test_two_muon_steps_equal_the_reference() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(8, 4))
    parameter = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float32))
    muon = Muon([("w", parameter)], lr=0.1, weight_decay=0.5)
    momentum = np.zeros((8, 4))
    for factor in (1.0, 0.5):
        grad = rng.normal(size=(8, 4))
        parameter.grad = torch.tensor(grad, dtype=torch.float32)
        muon.step(factor, momentum=0.9)
        momentum = 0.9 * momentum + 0.1 * grad
        direction = reference_newton_schulz(0.9 * momentum + 0.1 * grad, 5)
        weight = weight * (1 - 0.1 * factor * 0.5) - 0.1 * factor * math.sqrt(2) * direction
    np.testing.assert_allclose(parameter.detach().numpy(), weight, atol=0.01)
    np.testing.assert_allclose(muon.tensors()["momentum/w"].numpy(), momentum, atol=1e-6)


# --- optimizers


def test_every_parameter_has_its_role() -> None:
    roles = {name: role_of(name, p) for name, p in Transformer(SHAPE).named_parameters()}
    assert roles["model.embed_tokens.weight"] == "embedding"
    assert roles["lm_head.weight"] == "head"
    assert roles["model.norm.weight"] == "other"
    assert roles["model.layers.0.self_attn.q_norm.weight"] == "other"
    matrices = [name for name, role in roles.items() if role == "matrix"]
    assert len(matrices) == 2 * 7


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_loaded_optimizer_goes_on_exactly(kind: str) -> None:
    rates = OptimizerSettings(matrix_optimizer=kind, weight_decay=0.1)  # type: ignore[arg-type]
    models = [Transformer(SHAPE), Transformer(SHAPE)]
    for model in models:
        model.init_weights(0)
    first, second = (Optimizer(model, rates) for model in models)

    def move(model: Transformer, optimizer: Optimizer, step: int) -> None:
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step(step, 0.5)

    for step in range(3):
        move(models[0], first, step)
    models[1].load_state_dict(models[0].state_dict())
    second.load({name: tensor.clone() for name, tensor in first.tensors().items()})
    move(models[0], first, 3)
    move(models[1], second, 3)
    assert shared.same(dict(models[0].state_dict()), dict(models[1].state_dict()))


def test_a_state_of_another_model_is_refused() -> None:
    model = Transformer(SHAPE)
    model.init_weights(0)
    optimizer = Optimizer(model, OptimizerSettings())
    state = optimizer.tensors()
    state["momentum/odd"] = torch.zeros(1)
    with pytest.raises(GristmillError, match="momentum/odd"):
        optimizer.load(state)


def test_norms_and_an_untied_embedding_do_not_decay() -> None:
    model = Transformer(SHAPE)
    model.init_weights(0)
    optimizer = Optimizer(model, OptimizerSettings(weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(0, 1.0)
    for name, parameter in model.named_parameters():
        decayed = not torch.equal(parameter, before[name])
        expected = role_of(name, parameter) in ("matrix", "head") and bool(before[name].any())
        assert decayed == expected, name


# --- schedules


def test_schedules_by_hand() -> None:
    linear = Schedule("linear", 12, warmup=2)
    assert [linear.factor(s) for s in (0, 1, 2, 7, 11)] == pytest.approx([0.5, 1, 1, 0.5, 0.1])
    cosine = Schedule("cosine", 10, warmup=2, floor=0.1)
    assert cosine.factor(2) == 1.0
    assert cosine.factor(6) == pytest.approx(0.55)
    assert cosine.factor(4) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.sqrt(0.5)))
    wsd = Schedule("wsd", 10, warmup=1, decay=4)
    assert [wsd.factor(s) for s in range(10)] == pytest.approx(
        [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    )
    assert [wsd.annealing(s) for s in (5, 6)] == [False, True]
    assert Schedule("constant", 5).factor(4) == 1.0
    assert [ramp(s, 0.8, 0.9, 10) for s in (0, 5, 10, 99)] == pytest.approx([0.8, 0.85, 0.9, 0.9])


def test_phases_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GristmillError, match="do not fit"):
        Schedule("wsd", 10, warmup=6, decay=5)


# --- the order of samples


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 700), seed=st.integers(0, 2**62))
def test_the_permutation_is_one(size: int, seed: int) -> None:
    found = permute(np.arange(size), size, seed)
    assert sorted(found.tolist()) == list(range(size))
    if size > 20:
        assert found.tolist() != list(range(size))
        assert found.tolist() != permute(np.arange(size), size, seed + 1).tolist()


def test_the_permutation_stays_what_it_was() -> None:
    assert permute(np.arange(10), 10, 42).tolist() == [4, 6, 3, 1, 0, 9, 2, 7, 8, 5]


def source_of(folder: Path, **changes: object) -> TextSource:
    splits = {name: TokenShards.open(folder, name) for name in ("train", "anneal")}
    phases = [Phase(10, {"train": 1.0}), Phase(10, {"train": 0.25, "anneal": 0.75})]
    given = {"context": CONTEXT, "batch": 6, "seed": 1, **changes}
    return TextSource(splits, phases, **given)  # type: ignore[arg-type]


def moment(step: int, share: Share | None = None) -> Moment:
    return Moment(step, 0, share or Share(), {}, lambda function: function({}))


@pytest.mark.parametrize("processes", [2, 3, 4, 6])
def test_the_order_does_not_depend_on_the_number_of_processes(
    tokens_folder: Path, processes: int
) -> None:
    alone = source_of(tokens_folder)
    several = [source_of(tokens_folder) for _ in range(processes)]
    for step in range(20):
        whole = alone.next(moment(step))
        parts = [s.next(moment(step, Share(rank, processes))) for rank, s in enumerate(several)]
        joined = torch.cat([part.tensors["tokens_BT"] for part in parts])
        assert torch.equal(whole.tensors["tokens_BT"], joined)
        assert sum(part.tokens for part in parts) == whole.tokens
    assert {s.state().json["samples"] for s in several} == {alone.state().json["samples"]} == {120}


def test_a_restored_source_goes_on_with_any_number_of_processes(tokens_folder: Path) -> None:
    straight, first = source_of(tokens_folder), source_of(tokens_folder)
    for step in range(7):
        straight.next(moment(step))
        first.next(moment(step, Share(1, 2)))
    resumed = source_of(tokens_folder)
    resumed.restore(first.state())
    for step in range(7, 20):
        ours = resumed.next(moment(step)).tensors["targets_BT"]
        assert torch.equal(ours, straight.next(moment(step)).tensors["targets_BT"])


def test_one_pass_draws_every_window_once_and_cuts_long_documents(tokens_folder: Path) -> None:
    split = TokenShards.open(tokens_folder, "train")
    source = source_of(tokens_folder, batch=1)
    count = source.windows("train")
    steps = [Phase(count, {"train": 1.0}), Phase(count, {"train": 1.0})]
    whole = TextSource({"train": split}, steps, context=CONTEXT, batch=1, seed=1)
    first = [whole.position(sample) for sample in range(count)]
    assert sorted(p.start for p in first) == [i * CONTEXT for i in range(count)]
    # Documents longer than the context are there, and nothing of them is dropped: the windows
    # cover all tokens but less than two contexts at the end.
    ends = np.flatnonzero(split.tokens(0, split.total_tokens) == EOT)
    assert np.diff(ends).max() > 2 * CONTEXT
    assert split.total_tokens - count * CONTEXT < 2 * CONTEXT
    second = [whole.position(sample) for sample in range(count, 2 * count)]
    assert {p.epoch for p in second} == {1}
    assert len({p.start for p in second}) == count
    assert max(p.start for p in second) + CONTEXT + 1 <= split.total_tokens
    assert [p.window for p in first] != [p.window for p in second]
    # Another offset in the second pass.
    assert {p.start % CONTEXT for p in first} != {p.start % CONTEXT for p in second}


def test_windows_and_targets_are_the_text(tokens_folder: Path) -> None:
    split = TokenShards.open(tokens_folder, "train")
    source = source_of(tokens_folder)
    batch = source.next(moment(0))
    for row in range(6):
        start = source.position(row).start
        text = split.tokens(start, CONTEXT + 1).tolist()
        assert batch.tensors["tokens_BT"][row].tolist() == text[:-1]
        assert batch.tensors["targets_BT"][row].tolist() == text[1:]


def test_phases_mix_exactly_and_go_on_where_the_split_was_left(tokens_folder: Path) -> None:
    source = source_of(tokens_folder)
    positions = [source.position(sample) for sample in range(120)]
    names = [p.split for p in positions]
    assert names[:60] == ["train"] * 60
    assert names[60:].count("anneal") == 45
    assert names[60:80].count("anneal") == 15
    assert source.used == {"train": 75, "anneal": 45}
    drawn = [(p.epoch, p.window) for p in positions if p.split == "train"]
    windows = source.windows("train")
    assert len(set(drawn[:windows])) == min(windows, len(drawn))


def test_document_segments_open_at_end_of_text(tokens_folder: Path) -> None:
    batch = source_of(tokens_folder, document_mask=True).next(moment(0))
    tokens_BT, segments_BT = batch.tensors["tokens_BT"], batch.tensors["segments_BT"]
    for tokens, segments in zip(tokens_BT.tolist(), segments_BT.tolist(), strict=True):
        expected = list(itertools.accumulate(int(token == EOT) for token in tokens))
        assert segments == expected


def test_a_context_longer_than_the_text_is_refused(tokens_folder: Path) -> None:
    with pytest.raises(GristmillError, match="too few"):
        source_of(tokens_folder, context=5000)


# --- checkpoints


def checkpoint(step: int) -> checkpoints.Checkpoint:
    tensors = {"a": torch.full((3,), float(step)), "b": torch.arange(4)}
    return checkpoints.Checkpoint(
        step, {"policy": tensors}, {"policy": {"momentum/a": torch.ones(3)}},
        source={"rollout": torch.arange(6).view(2, 3)}, state={"beta": 0.2, "cursor": step},
    )  # fmt: skip


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, checkpoint(7))
    found, said = checkpoints.load_latest(tmp_path)
    assert found is not None and said == []
    assert found.step == 7 and found.state == {"beta": 0.2, "cursor": 7}
    assert torch.equal(found.models["policy"]["a"], torch.full((3,), 7.0))
    assert torch.equal(found.source["rollout"], torch.arange(6).view(2, 3))


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    folder = checkpoints.save(tmp_path, checkpoint(1))
    rng = np.random.default_rng(0)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    assert len(files) == 5
    for path in files:
        content = path.read_bytes()
        for place in {0, len(content) - 1, *rng.integers(0, len(content), 20).tolist()}:
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            with pytest.raises(DamagedArtifact):
                checkpoints.load(folder)
        path.write_bytes(content)
    checkpoints.verify(folder)
    (folder / "state.json").unlink()
    with pytest.raises(DamagedArtifact, match=r"state\.json is missing"):
        checkpoints.verify(folder)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        (tmp_path / ".step-00000099.tmp").mkdir(exist_ok=True)  # of a killed process
        checkpoints.save(tmp_path, checkpoint(step), keep=2)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["step-00000004", "step-00000006"]


def test_the_old_one_stays_where_the_new_one_does_not_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(tmp_path, checkpoint(2), keep=1)
    real = checkpoints._write

    def bad_disk(temporary: Path, one: checkpoints.Checkpoint) -> None:
        real(temporary, one)
        file = temporary / "models" / "policy.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"\xff")

    monkeypatch.setattr(checkpoints, "_write", bad_disk)
    with pytest.raises(DamagedArtifact):
        checkpoints.save(tmp_path, checkpoint(4), keep=1)
    found, said = checkpoints.load_latest(tmp_path)
    assert found is not None and found.step == 2
    assert len(said) == 1


def test_a_tied_matrix_is_saved_once() -> None:
    tensors = checkpoints.model_tensors(Transformer(SHAPE))
    assert "lm_head.weight" in tensors
    storages = {tensor.data_ptr() for tensor in tensors.values()}
    assert len(storages) == len(tensors)


# --- metrics, probes, start


def test_a_torn_line_is_dropped_and_the_last_record_of_a_step_counts(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "loss": 2.0}\n{"step": 3, "lo')
    log = MetricsLog(path)
    log.write({"step": 2, "loss": math.inf})
    log.write({"step": 2, "heldout.loss": 1.5})
    log.close()
    assert read_metrics(path) == [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": None, "heldout.loss": 1.5},
    ]


def test_the_first_loss_is_that_of_a_uniform_guess(tokens_folder: Path) -> None:
    model = Transformer(SHAPE)
    start_weights(model, 0)
    probe = HeldoutLoss(
        TokenShards.open(tokens_folder, "heldout"), CONTEXT, windows=5,
        token_bytes_V=np.full(VOCAB, 2),
    )  # fmt: skip
    found = probe(View(0, 0, {"policy": model}))
    assert found["loss"] == pytest.approx(math.log(VOCAB), abs=1e-5)
    assert found["bits_per_byte"] == pytest.approx(math.log2(VOCAB) / 2, abs=1e-5)
    assert model.model.embed_tokens.weight.std().item() == pytest.approx(1.0, abs=0.01)


def test_samples_continue_the_prompt() -> None:
    model = Transformer(SHAPE)
    start_weights(model, 0)
    probe = SampleText({"ab": [1, 2]}, lambda ids: f"<{len(ids)}>", EOT, tokens=5)
    with torch.no_grad():
        found = probe(View(0, 0, {"policy": model}))
    assert found["ab"].startswith("ab<")
