"""What the makers of GPUs publish as the peak of their matrix products, for MFU.

Dense products with float32 sums, FLOP/s, from the makers' data sheets (which often print the
figure for sparse matrices, twice as high). The first name that a device's contains counts.
"""

from __future__ import annotations

from typing import TypedDict


class Peaks(TypedDict, total=False):
    """By precision; what is missing the device has not."""

    fp32: float
    """With products in TF32, where the device has them."""
    fp16: float
    bf16: float
    fp8: float


_T = 1e12
PUBLISHED: tuple[tuple[str, Peaks], ...] = (
    ("B200", {"fp32": 1100 * _T, "fp16": 2250 * _T, "bf16": 2250 * _T, "fp8": 4500 * _T}),
    ("H200", {"fp32": 494.5 * _T, "fp16": 989 * _T, "bf16": 989 * _T, "fp8": 1979 * _T}),
    ("H100 PCIe", {"fp32": 378 * _T, "fp16": 756 * _T, "bf16": 756 * _T, "fp8": 1513 * _T}),
    ("H100 NVL", {"fp32": 417.5 * _T, "fp16": 835 * _T, "bf16": 835 * _T, "fp8": 1671 * _T}),
    ("H100", {"fp32": 494.5 * _T, "fp16": 989 * _T, "bf16": 989 * _T, "fp8": 1979 * _T}),
    ("A100", {"fp32": 156 * _T, "fp16": 312 * _T, "bf16": 312 * _T}),
    ("L40S", {"fp32": 183 * _T, "fp16": 362 * _T, "bf16": 362 * _T, "fp8": 733 * _T}),
    ("L4", {"fp32": 60 * _T, "fp16": 121 * _T, "bf16": 121 * _T, "fp8": 242 * _T}),
    ("RTX 4090", {"fp32": 82.6 * _T, "fp16": 165.2 * _T, "bf16": 165.2 * _T, "fp8": 330.3 * _T}),
    ("RTX 3090", {"fp32": 35.6 * _T, "fp16": 71 * _T, "bf16": 71 * _T}),
    ("V100", {"fp32": 15.7 * _T, "fp16": 125 * _T}),
    ("T4", {"fp32": 8.1 * _T, "fp16": 65 * _T}),
    ("MI300X", {"fp32": 653.7 * _T, "fp16": 1307 * _T, "bf16": 1307 * _T, "fp8": 2615 * _T}),
)


def published_peak(device: str, precision: str) -> float:
    """FLOP/s of a device of that name; 0 where nothing is known."""
    words = device.upper().replace("-", " ").split()
    for name, peaks in PUBLISHED:
        # Whole words: an L40S is no L4.
        if all(word in words for word in name.upper().split()):
            found = peaks.get(precision, 0.0)
            assert isinstance(found, float)
            return found
    return 0.0
