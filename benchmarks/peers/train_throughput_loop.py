"""The plain training loop of train_throughput's peers, and how they are asked, block by block."""

import json
import sys
import time

import torch


def answer(model, loss_of, *, rows, low):
    """Warms up, prints a line, then for each line of the input (a number of steps) a JSON object of
    the seconds. loss_of: tokens (rows, 257) to the mean loss; low: under bf16 autocast."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step():
        both = torch.randint(0, 8000, (rows, 257))
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = loss_of(both)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    first = step()
    step()
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"parameters": parameters, "first_loss": first}), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(found), flush=True)
