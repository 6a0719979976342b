"""The machine's bf16 peak, and what the products of train_throughput's model reach by themselves.

Arguments: threads, rows. Prints a line when it is ready; then, for each line of its input, a JSON
object: `peak` and `peak_one`, the fastest of a few square layers, forward and backward, in FLOP/s
on all threads and on one; `shapes`, all linear layers of the model, one after the other, with
nothing between them, on all threads.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from train_throughput_ours import CONFIG

from gristmill.train.precision import matmul_flops

_TRIES = 3
_HEAD_ROWS = 256  # the logits that the loss holds at a time


def peak(threads: int) -> float:
    """FLOP/s of the fastest layer."""
    torch.set_num_threads(threads)
    cpu = torch.device("cpu")
    return max(matmul_flops(cpu, torch.bfloat16, width) for width in (384, 512, 1024))


class Shapes:
    """The products of one step, each thread with rows of its own."""

    def __init__(self, rows: int):
        width, wide, tokens = CONFIG.width, CONFIG.mlp_width, rows * CONFIG.context
        block = [(width, width)] * 4 + [(width, wide)] * 2 + [(wide, width)]
        layers = [(tokens, *shape) for shape in block * CONFIG.layers]
        head = [(_HEAD_ROWS, width, CONFIG.vocab_size)] * (tokens // _HEAD_ROWS)
        # Operands of their own for each layer, as in a step: none waits in a cache.
        self._operands = [self._layer(*shape) for shape in [*layers, *head]]
        self.flops = sum(6.0 * n * i * o for n, i, o in [*layers, *head])

    def _layer(self, rows: int, inputs: int, outputs: int) -> tuple[torch.Tensor, ...]:
        shapes = (rows, inputs), (outputs, inputs), (rows, outputs)
        return tuple(torch.randn(shape).to(torch.bfloat16) for shape in shapes)

    def run(self) -> None:
        """Forward, and both gradients."""
        torch.set_num_threads(1)
        for x, weight, grad in self._operands:
            torch.mm(x, weight.T)
            torch.mm(grad, weight)
            torch.mm(grad.T, x)


def main() -> None:
    threads, rows = int(sys.argv[1]), int(sys.argv[2])
    shapes = [Shapes(rows // threads) for _ in range(threads)]
    print(json.dumps({"parameters": 0}), flush=True)
    with ThreadPoolExecutor(threads) as pool:
        for _ in sys.stdin:
            found = {"peak": peak(threads), "peak_one": peak(1), "shapes": 0.0}
            for _ in range(_TRIES):
                start = time.perf_counter()
                list(pool.map(Shapes.run, shapes))
                seconds = time.perf_counter() - start
                done = sum(one.flops for one in shapes) / seconds
                found["shapes"] = max(found["shapes"], done)
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
