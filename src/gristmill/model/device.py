"""Which device a model lies on."""

from __future__ import annotations

import torch

from gristmill.core.errors import GristmillError


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; `auto` is a GPU where there is one (cuda, then mps), else the CPU.

    Raises GristmillError for a name that means nothing and a device that is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, found in present.items() if found))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise GristmillError(f"no device '{name}'", mend="use auto, cpu, cuda or mps") from error
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not present.get(device.type, False) or (device.index or 0) >= count:
        found = ", ".join(kind for kind, there in present.items() if there)
        raise GristmillError(f"this machine has no {name}", mend=f"it has {found}")
    return device
