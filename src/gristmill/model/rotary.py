"""Rotary positions: their angles, and the two ways of stretching them to a longer context.

Su et al. 2021, "RoFormer". A pair i of a head turns by theta^(-2i / D) radians a token: the first
pairs many times in a context, the last ones less than once, so that a longer context brings
angles that a model has never seen. Both scalings slow the slow pairs and leave the fast ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gristmill.core.errors import GristmillError


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's stretching of rotary positions, for a model trained at `original_context`.

    Frequencies that turn less than `low_frequency` times in that context are divided by `factor`,
    those that turn more than `high_frequency` times stay, and those between are blended (Llama 3
    herd, 2024, section 3.4.2; constants of its release).
    """

    factor: float
    low_frequency: float
    high_frequency: float
    original_context: int

    def __post_init__(self) -> None:
        ordered = 0 < self.low_frequency < self.high_frequency
        if not ordered or self.factor < 1 or self.original_context < 1:
            raise GristmillError(f"{self} is no scaling of rotary positions")


@dataclass(frozen=True)
class Yarn:
    """YaRN's stretching, for a model trained at `original_context` (Peng et al. 2023, "YaRN:
    efficient context window extension of large language models", sections 3.2 to 3.4).

    Pairs that turn more than `fast` times in that context stay, those that turn less than `slow`
    times are divided by `factor`, and those between, by their number, are blended. Queries and keys
    are each multiplied by 0.1 ln(factor) + 1, which sharpens the softmax over more tokens. Where
    the blend begins and ends is rounded outwards to whole pairs, as transformers and llama.cpp do.
    """

    factor: float
    original_context: int
    fast: float = 32.0
    slow: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.slow < self.fast or self.factor < 1 or self.original_context < 1:
            raise GristmillError(f"{self} is no scaling of rotary positions")

    @property
    def magnitude(self) -> float:
        """What cosine and sine are multiplied by."""
        return 0.1 * math.log(self.factor) + 1.0


class Rotary(Protocol):
    """What `plan` asks of a shape."""

    @property
    def head_dim(self) -> int:
        """Of each head; even."""

    @property
    def rope_theta(self) -> float:
        """The base of the angles."""

    @property
    def rope_scaling(self) -> RopeScaling | Yarn | None:
        """How they are stretched."""


def rotary_angles(
    positions_BT: Tensor,
    head_dim: int,
    theta: float,
    dtype: torch.dtype,
    scaling: RopeScaling | Yarn | None = None,
) -> tuple[Tensor, Tensor]:
    """Cosine and sine for `rotate`, (B, 1, T, head_dim / 2); angles in float32 (Su et al. 2021)."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions_BT.device)
    frequency = 1.0 / (theta ** (exponent / head_dim))
    if isinstance(scaling, RopeScaling):
        frequency = stretched(frequency, scaling)
    elif scaling is not None:
        frequency = stretched_by_yarn(frequency, scaling, theta)
    angle = positions_BT[:, None, :, None].float() * frequency
    if isinstance(scaling, Yarn):
        magnitude = scaling.magnitude
        return (angle.cos() * magnitude).to(dtype), (angle.sin() * magnitude).to(dtype)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def stretched(frequency: Tensor, scaling: RopeScaling) -> Tensor:
    """The frequencies, radians a token, that a scaled model rotates by."""
    turns = scaling.original_context * frequency / (2 * math.pi)
    span = scaling.high_frequency - scaling.low_frequency
    kept = ((turns - scaling.low_frequency) / span).clamp(0, 1)
    return kept * frequency + (1 - kept) * frequency / scaling.factor


def stretched_by_yarn(frequency: Tensor, scaling: Yarn, theta: float) -> Tensor:
    """The frequencies, radians a token, that a model stretched by YaRN rotates by."""
    pairs = frequency.shape[0]

    def pair_that_turns(times: float) -> float:
        return pairs * math.log(scaling.original_context / (times * 2 * math.pi)) / math.log(theta)

    first = max(math.floor(pair_that_turns(scaling.fast)), 0)
    last = min(math.ceil(pair_that_turns(scaling.slow)), 2 * pairs - 1)
    number = torch.arange(pairs, dtype=torch.float32, device=frequency.device)
    slowed = ((number - first) / (last - first or 0.001)).clamp(0, 1)
    return frequency / scaling.factor * slowed + frequency * (1 - slowed)


def rotate(x_BHTD: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turns the pairs (i, i + D / 2) of each head by its position's angles."""
    cos, sin = rotary
    first, second = x_BHTD.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
