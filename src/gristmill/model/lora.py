"""Low-rank adapters: W + (alpha / r) B A, with W frozen (Hu et al. 2021, section 4.1).

An adapted model is the base with other linear layers in their places: every name of the base stays,
so that whatever reads a model reads this one. Switched off, it is the base bit for bit: a method
that needs the base as its reference holds one model, not two. Files are in PEFT's layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.model.transformer import TransformerConfig, require_transformer

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
# What PEFT puts before every name of the model that it wraps.
_PREFIX = "base_model.model."


M = TypeVar("M", bound=nn.Module)


class LoraLinear(nn.Linear):
    """A linear layer with an adapter beside it; `weight` and `bias` are the base's, shared."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float):
        # The base's own tensors come in below: nothing of its size is allocated for them here.
        super().__init__(base.in_features, base.out_features, bias=False, device="meta")
        self.weight, self.bias = base.weight, base.bias
        like = {"device": base.weight.device, "dtype": base.weight.dtype}
        self.lora_A = nn.Linear(base.in_features, rank, bias=False, **like)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False, **like)
        self.rank, self.alpha = rank, alpha
        self.enabled = True

    @property
    def scale(self) -> float:
        """What the adapter's product is multiplied by."""
        return self.alpha / self.rank

    def forward(self, input: Tensor) -> Tensor:
        out = F.linear(input, self.weight, self.bias)
        if not self.enabled:
            return out
        return out + self.scale * self.lora_B(self.lora_A(input))

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """W + scale B A in the base's precision, the product in float32."""
        product = self.lora_B.weight.float() @ self.lora_A.weight.float()
        return (self.weight.float() + self.scale * product).to(self.weight.dtype)


def add_adapters(
    model: nn.Module,
    rank: int,
    alpha: float,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> int:
    """Freezes all of `model` and puts adapters on the linear layers of those last names, in place.

    A is kaiming-uniform (with a = sqrt 5, U(-1/sqrt(in), 1/sqrt(in))), B is 0: the model computes
    what it did. Each A has its own seed. Returns the number of trained parameters.
    Raises GristmillError where a target fits no layer, or the model is adapted already.
    """
    if rank < 1 or alpha <= 0:
        raise GristmillError(f"no adapter has rank {rank} and alpha {alpha}", where="lora")
    config = getattr(model, "config", None)
    if config is not None:
        require_transformer(config, "an adapter", "lora")
    if adapters(model):
        raise GristmillError("the model has adapters already", mend="merge them first")
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in targets
    }
    missing = set(targets) - {name.rpartition(".")[2] for name in found}
    if missing or not found:
        raise GristmillError(
            f"no linear layer is called {', '.join(sorted(missing)) or 'nothing'}",
            where="lora.targets",
            mend=f"layers are called {', '.join(TARGETS)}",
        )
    model.requires_grad_(False)
    trained = 0
    for name, module in found.items():
        adapted = LoraLinear(module, rank, alpha)
        generator = torch.Generator().manual_seed(derive_seed(seed, "lora", name))
        bound = 1.0 / math.sqrt(module.in_features)
        values = (2.0 * torch.rand(adapted.lora_A.weight.shape, generator=generator) - 1.0) * bound
        with torch.no_grad():
            adapted.lora_A.weight.copy_(values)
            adapted.lora_B.weight.zero_()
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, adapted.train(module.training))
        trained += adapted.lora_A.weight.numel() + adapted.lora_B.weight.numel()
    return trained


def adapters(model: nn.Module) -> dict[str, LoraLinear]:
    """The adapted layers by name; empty where there are none."""
    return {n: module for n, module in model.named_modules() if isinstance(module, LoraLinear)}


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """The model as the base that it was made from, bit for bit, for as long as this lasts."""
    layers = list(adapters(model).values())
    before = [layer.enabled for layer in layers]
    try:
        for layer in layers:
            layer.enabled = False
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.enabled = was


def merge(model: M) -> M:
    """A plain model of the same class with W + scale B A in W's place, in evaluation mode.

    What is not adapted is shared with `model`, not copied.
    """
    layers = adapters(model)
    tensors = {
        name: tensor.detach() for name, tensor in model.state_dict().items() if ".lora_" not in name
    }
    for name, layer in layers.items():
        tensors[f"{name}.weight"] = layer.merged_weight()
    config = model.config
    assert isinstance(config, TransformerConfig)
    with torch.device("meta"):
        plain = type(model)(config)
    plain.load_state_dict(tensors, assign=True)
    plain.requires_grad_(True)
    return plain.eval()


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' tensors, and those of other trained parameters (a score head), by name."""
    return {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if ".lora_" in name or parameter.requires_grad
    }


def save_adapter(folder: Path | str, model: nn.Module, base: str = "") -> None:
    """Writes the adapters as PEFT does; base: what `base_model_name_or_path` says.

    Raises GristmillError where the model has none.
    """
    layers = adapters(model)
    if not layers:
        raise GristmillError("the model has no adapters to save")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = adapter_tensors(model)
    save_file(
        {_PREFIX + name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        folder / ADAPTER_WEIGHTS,
        metadata={"format": "pt"},
    )
    first = next(iter(layers.values()))
    whole = sorted({n.rpartition(".")[0] for n in tensors if ".lora_" not in n})
    write_json(
        folder / ADAPTER_CONFIG,
        {
            "peft_type": "LORA",
            "task_type": "SEQ_CLS" if whole else "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": first.rank,
            "lora_alpha": first.alpha,
            "lora_dropout": 0.0,
            "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
            "modules_to_save": whole or None,
            "bias": "none",
            "fan_in_fan_out": False,
            "init_lora_weights": True,
            "inference_mode": True,
            "use_rslora": False,
            "use_dora": False,
        },
    )


@torch.no_grad()
def load_adapter(folder: Path | str, model: nn.Module) -> None:
    """Puts the adapters of a folder (of `save_adapter`, or PEFT's plain LoRA) on a base, in place.

    Raises GristmillError for a kind of adapter that is not computed here, and for tensors that do
    not fit the model.
    """
    folder = Path(folder)
    config = _read_config(folder)
    try:
        stored = load_file(folder / ADAPTER_WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise GristmillError(
            f"no adapter can be read: {error}", where=folder / ADAPTER_WEIGHTS
        ) from error
    found = {name.removeprefix(_PREFIX): tensor for name, tensor in stored.items()}
    add_adapters(model, config["r"], config["lora_alpha"], config["target_modules"])
    for name in config.get("modules_to_save") or ():
        model.get_submodule(name).requires_grad_(True)
    own = adapter_tensors(model)
    odd = sorted(own.keys() ^ found.keys())
    odd += [name for name in own.keys() & found.keys() if own[name].shape != found[name].shape]
    if odd:
        raise GristmillError(
            f"the adapter does not fit this model: '{odd[0]}'",
            where=folder,
            mend="give the base that it was trained on",
        )
    for name, tensor in own.items():
        tensor.copy_(found[name])


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / ADAPTER_CONFIG
    try:
        config = read_json(path)
        rank, alpha, targets = config["r"], config["lora_alpha"], config["target_modules"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GristmillError(f"no adapter's configuration: {error!r}", where=path) from error
    known = isinstance(rank, int) and isinstance(alpha, (int, float)) and isinstance(targets, list)
    plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none"
    others = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern")
    used = [name for name in others if config.get(name)]
    if not known or not plain or used:
        raise GristmillError(
            f"only plain LoRA adapters are computed here{': ' if used else ''}{', '.join(used)}",
            where=path,
        )
    return dict(config)
