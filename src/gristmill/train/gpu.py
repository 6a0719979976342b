"""What torch must be told before a training on a GPU, which it does not do by itself."""

from __future__ import annotations

import torch


def prepare(device: torch.device) -> list[str]:
    """Sets what is fastest for products in float32 and for memory; says what, in a sentence each.
    On other devices nothing, and no sentence."""
    if device.type != "cuda":
        return []
    # Sums of gradients and what is left in float32: 10 digits of the mantissa instead of 23.
    torch.set_float32_matmul_precision("high")
    said = ["float32 products in TF32"]
    try:
        # Rows of other lengths and a last smaller chunk leave holes in blocks of fixed size.
        torch.cuda.memory._set_allocator_settings("expandable_segments:True")
    except (AttributeError, RuntimeError) as error:  # no private name is for ever
        said.append(f"memory in blocks of fixed size ({error})")
    else:
        said.append("memory in blocks that grow")
    return said
