"""litgpt's GPT in a plain training loop, compiled in bf16, asked block by block.

Arguments: compiled, threads, rows. Prints a line when it is warm; then, for each line of its input
(a number of steps), a JSON object of the seconds.
"""

import json
import sys
import time

import torch
from litgpt import GPT, Config
from litgpt.utils import chunked_cross_entropy

threads, rows = int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)
config = Config(
    name="llama17m",
    block_size=256,
    vocab_size=8000,
    padded_vocab_size=8000,
    n_layer=6,
    n_head=6,
    n_query_groups=6,
    n_embd=384,
    intermediate_size=1024,
    rotary_percentage=1.0,
    parallel_residual=False,
    bias=False,
    norm_class_name="RMSNorm",
    mlp_class_name="LLaMAMLP",
)
model = GPT(config)
compiled = torch.compile(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)


def step():
    both = torch.randint(0, 8000, (rows, 257))
    with torch.autocast("cpu", torch.bfloat16):
        logits = compiled(both[:, :-1])
        loss = chunked_cross_entropy(logits, both[:, 1:], chunk_size=0)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


first = step()
for _ in range(2):
    step()
parameters = sum(p.numel() for p in model.parameters())
print(json.dumps({"parameters": parameters, "first_loss": first}), flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(int(line)):
        step()
    found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps(found), flush=True)
