"""transformers' LlamaForCausalLM in a plain training loop, asked block by block.

Arguments: eager | compiled | compiled_eager_attention, threads, rows. Prints a line when it is
warm; then, for each line of its input (a number of steps), a JSON object of the seconds.
"""

import sys

import torch
from train_throughput_loop import answer
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


def loss_of(both):
    logits = trained(input_ids=both[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.float().view(-1, 8000), both[:, 1:].reshape(-1))


answer(model, loss_of, rows=rows, low=low)
