"""transformers' LlamaForCausalLM in a plain training loop, asked block by block.

Arguments: eager | compiled | compiled_eager_attention, threads, rows. Prints a line when it is
warm; then, for each line of its input (a number of steps), a JSON object of the seconds.
"""

import json
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

variant, threads, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=8000,
    hidden_size=384,
    intermediate_size=1024,
    num_hidden_layers=6,
    num_attention_heads=6,
    num_key_value_heads=6,
    max_position_embeddings=256,
    tie_word_embeddings=False,
    use_cache=False,
    attn_implementation="eager" if variant == "compiled_eager_attention" else "sdpa",
)
model = LlamaForCausalLM(config)
low = variant != "eager"
trained = torch.compile(model) if low else model
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)


def step():
    both = torch.randint(0, 8000, (rows, 257))
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        logits = trained(input_ids=both[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().view(-1, 8000), both[:, 1:].reshape(-1)
        )
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
