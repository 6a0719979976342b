"""Weights of domains as a file, and mixtures drawn at random, from which a study learns weights.

    {"weights": {"History": 0.12, "Geography": 0.3}, "about": {"from": "..."}}

A weight is the share of the training bytes that a domain is to have; they are scaled to add up to
1 where they are used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.core.canonical import write_json
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed

WEIGHTS = "weights.json"

Floats = npt.NDArray[np.float64]


def write_weights(path: Path, weights: Mapping[str, float], **about: Any) -> None:
    """Writes a weights file; `about` is for the reader and decides nothing."""
    write_json(path, {"weights": dict(sorted(weights.items())), "about": about})


def read_weights(path: Path) -> dict[str, float]:
    """The weights of a file, or of the `weights.json` in a folder, by domain.

    Raises GristmillError where that is not what is there.
    """
    path = path / WEIGHTS if path.is_dir() else path
    mend = 'give {"weights": {"DOMAIN": NUMBER, ...}} with numbers of 0 or more'
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["weights"]
        weights = {str(name): float(value) for name, value in found.items()}
    except FileNotFoundError:
        raise GristmillError("no such file", where=path, mend="check the path") from None
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise GristmillError("no file of weights", where=path, mend=mend) from error
    bad = [name for name, value in weights.items() if not (math.isfinite(value) and value >= 0)]
    if bad or not any(weights.values()):
        what = f"the weight of '{bad[0]}' is no share" if bad else "every weight is 0"
        raise GristmillError(what, where=path, mend=mend)
    return weights


def tempered(sizes: Sequence[float], temperature: float) -> Floats:
    """Shares proportional to size^(1 / T): T = 1 as they come, larger lifts small domains."""
    sizes_K = np.asarray(sizes, np.float64)
    raised_K = np.zeros_like(sizes_K)
    there = sizes_K > 0
    raised_K[there] = (sizes_K[there] / sizes_K.sum()) ** (1.0 / temperature)
    return raised_K / raised_K.sum()


def draw_mixture(
    centre: Floats, number: int, *, strength: tuple[float, float], seed: int
) -> Floats:
    """Mixture `number` of a seed, from a Dirichlet distribution around `centre`.

    As RegMix draws them (Liu et al. 2024, section 3.1): alpha = strength * domains * centre, the
    strength from low (a few domains have nearly everything) to high (near the centre), here
    evenly spread over its logarithm, so that few draws cover it too.
    """
    low, high = (math.log(value) for value in strength)
    out = np.zeros(len(centre))
    there = centre > 0
    # The golden ratio's multiples spread over 0..1 however many of them are taken.
    place = (0.5 + number * 0.6180339887498949) % 1.0
    alpha = math.exp(low + place * (high - low)) * there.sum() * centre[there]
    random = np.random.default_rng(derive_seed(seed, "mixture", number))
    drawn = random.standard_gamma(alpha)
    # Of very small alphas all can round to 0.
    out[there] = drawn / drawn.sum() if drawn.sum() > 0 else centre[there]
    return out


def within_caps(mixtures: Floats, caps: Floats) -> Floats:
    """The mixtures [n, domains] with no share above its cap; what is over goes to the others by
    their shares. Where the caps together are below 1, the caps themselves, scaled to 1."""
    if caps.sum() <= 1.0:
        return np.tile(caps / caps.sum(), (len(mixtures), 1))
    found = mixtures.copy()
    capped = np.zeros(found.shape, np.bool_)
    for _ in range(found.shape[1]):
        over = (found > caps + 1e-12) & ~capped
        if not over.any():
            break
        capped |= over
        held = np.where(capped, caps, 0.0).sum(axis=1)
        free = np.where(capped, 0.0, mixtures)
        left, whole = 1.0 - held, free.sum(axis=1)
        # A mixture whose all other domains have nothing gives what is left by the others' caps.
        empty = whole <= 1e-12
        free[empty] = np.where(capped[empty], 0.0, caps)
        whole = np.where(empty, free.sum(axis=1), whole)
        scale = np.where(whole > 0, left / np.where(whole > 0, whole, 1.0), 0.0)
        found = np.where(capped, caps, free * scale[:, None])
    return found
