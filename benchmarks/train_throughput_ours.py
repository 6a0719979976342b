"""The trainer on the 17 million parameter shape of train_throughput.py, asked block by block.

Arguments: eager | compiled, threads, rows. Prints a line when it is warm; then, for each line of
its input (a number of steps), a JSON object of the seconds. Batch, loss, clipping, update, record
and log are those of a real run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from gristmill.core.run import Run
from gristmill.model.flops import flops_per_token
from gristmill.model.transformer import Transformer, TransformerConfig
from gristmill.train.interfaces import Batch, Moment, State
from gristmill.train.objectives import NextToken
from gristmill.train.optimizers import Optimizer, OptimizerSettings
from gristmill.train.schedules import Schedule
from gristmill.train.trainer import Settings, Trainer

CONFIG = TransformerConfig(
    8000, width=384, layers=6, heads=6, kv_heads=6, head_dim=64, mlp_width=1024, context=256,
    tied=False, qk_norm=False,
)  # fmt: skip
WARM = 2


class Asked:
    """Random rows; after the warm-up and after each block it waits for the next line."""

    def __init__(self, rows: int, parameters: int):
        self.rows, self.left, self.parameters = rows, WARM, parameters
        self.start: tuple[float, float] | None = None

    def next(self, moment: Moment) -> Batch:
        if self.left == 0:
            self._answer()
            line = sys.stdin.readline()
            if not line:
                os._exit(0)  # the benchmark has what it wanted
            self.left = int(line)
            self.start = time.perf_counter(), time.process_time()
        self.left -= 1
        both_BT = torch.randint(0, CONFIG.vocab_size, (self.rows, CONFIG.context + 1))
        tensors = {"tokens_BT": both_BT[:, :-1], "targets_BT": both_BT[:, 1:]}
        return Batch(tensors, tokens=self.rows * CONFIG.context)

    def _answer(self) -> None:
        found: dict[str, float] = {"parameters": self.parameters}
        if self.start is not None:
            wall, cpu = self.start
            found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(found), flush=True)

    def state(self) -> State:
        return State()

    def restore(self, state: State) -> None: ...


def main() -> None:
    variant, threads, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.environ["GRISTMILL_PROGRESS"] = "off"
    torch.set_num_threads(threads)
    model = Transformer(CONFIG)
    model.init_weights(0)
    rates = OptimizerSettings(
        matrix_optimizer="adamw", matrix_lr=1e-3, embedding_lr=1e-3, head_lr=1e-3, other_lr=1e-3
    )
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            Run(Path(folder)),
            models={"policy": model},
            optimizers={"policy": Optimizer(model, rates)},
            source=Asked(rows, model.num_parameters()),
            objective=NextToken(),
            schedule=Schedule("constant", 1_000_000),
            settings=Settings(
                precision="auto",
                compile=variant == "compiled",
                lanes="auto",
                checkpoint_seconds=1e9,
            ),
            flops_per_token=lambda length: flops_per_token(CONFIG, length),
        ).fit()


if __name__ == "__main__":
    main()
