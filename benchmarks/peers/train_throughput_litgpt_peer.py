"""litgpt's GPT in a plain training loop, compiled in bf16, asked block by block.

Arguments: compiled, threads, rows. Prints a line when it is warm; then, for each line of its input
(a number of steps), a JSON object of the seconds.
"""

import sys

import torch
from litgpt import GPT, Config
from litgpt.utils import chunked_cross_entropy
from train_throughput_loop import answer

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


def loss_of(both):
    return chunked_cross_entropy(compiled(both[:, :-1]), both[:, 1:], chunk_size=0)


answer(model, loss_of, rows=rows, low=True)
