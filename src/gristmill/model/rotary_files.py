"""The stretching of rotary positions in a `config.json`, as transformers writes and reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gristmill.core.errors import GristmillError
from gristmill.model.rotary import RopeScaling, Yarn


def rope_to_hf(theta: float, scaling: RopeScaling | Yarn | None) -> dict[str, Any]:
    """What stands under `rope_parameters`."""
    if scaling is None:
        return {"rope_type": "default", "rope_theta": theta}
    if isinstance(scaling, Yarn):
        return {
            "rope_type": "yarn",
            "rope_theta": theta,
            "factor": scaling.factor,
            "original_max_position_embeddings": scaling.original_context,
            "beta_fast": scaling.fast,
            "beta_slow": scaling.slow,
            "attention_factor": scaling.magnitude,
        }
    return {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_frequency,
        "high_freq_factor": scaling.high_frequency,
        "original_max_position_embeddings": scaling.original_context,
    }


def rope_from_hf(rope: Mapping[str, Any], kind: str, where: Path) -> RopeScaling | Yarn | None:
    """The inverse. kind: `default`, `llama3` or `yarn`. Raises KeyError for what is missing, and
    GristmillError for what YaRN may be told and is not computed here."""
    if kind == "llama3":
        return RopeScaling(
            factor=float(rope["factor"]),
            low_frequency=float(rope["low_freq_factor"]),
            high_frequency=float(rope["high_freq_factor"]),
            original_context=int(rope["original_max_position_embeddings"]),
        )
    if kind != "yarn":
        return None
    yarn = Yarn(
        factor=float(rope["factor"]),
        original_context=int(rope["original_max_position_embeddings"]),
        fast=float(rope.get("beta_fast") or 32.0),
        slow=float(rope.get("beta_slow") or 1.0),
    )
    magnitude = rope.get("attention_factor")
    own = magnitude is None or math.isclose(float(magnitude), yarn.magnitude, rel_tol=1e-6)
    scaled = rope.get("mscale") and rope.get("mscale_all_dim")
    if not own or scaled or not rope.get("truncate", True):
        raise GristmillError(
            "YaRN with an attention factor, mscale or blend of its own",
            where=where,
            mend="only the paper's attention factor, 0.1 ln(factor) + 1, is computed here",
        )
    return yarn
