"""nanoGPT's CPU recipe for character-level Shakespeare, with transformers' GPT-2 and AdamW.

The recipe is that of nanoGPT's README for a processor (Karpathy 2022): 4 layers, 4 heads, width
128, context 64, batches of 12 random windows, 2,000 iterations, no dropout, no biases, GELU by its
own formula, weights N(0, 0.02) with the outputs into the residual stream divided by
sqrt(2 * layers), AdamW .9 and .99 with decay .1 on matrices and a clip of 1, rate 1e-3 after 100
iterations of warm-up, by a cosine to 1e-4. Evaluated on all windows of the last tenth of the text.

    train_time_to_loss_peer.py TEXT --seed S --stop-at N --threads N --nanogpt FOLDER

With --nanogpt the model and its optimizer are those of the folder's own model.py. Seconds of
processor time; `process` ends where the training does, before the evaluation, and holds the import
of torch but not that of transformers, which nanoGPT does not need.
"""

import argparse
import contextlib
import json
import math
import sys
import time

import torch

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
ITERATIONS, WARMUP, PEAK, FLOOR = 2000, 100, 1e-3, 1e-4


class Gpt2(torch.nn.Module):
    """transformers' GPT-2 as the recipe has it; token ids in, logits out."""

    def __init__(self, vocab_size: int):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        self.model = started(GPT2LMHeadModel, GPT2Config, vocab_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=x).logits

    def optimizer(self) -> torch.optim.Optimizer:
        trained = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))


class NanoGpt(torch.nn.Module):
    """The model of a nanoGPT folder."""

    def __init__(self, folder: str, vocab_size: int):
        super().__init__()
        sys.path.insert(0, folder)
        from model import GPT, GPTConfig

        with contextlib.redirect_stdout(sys.stderr):
            self.model = GPT(
                GPTConfig(
                    block_size=CONTEXT, vocab_size=vocab_size, n_layer=LAYERS, n_head=HEADS,
                    n_embd=WIDTH, dropout=0.0, bias=False,
                )
            )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Without targets it would give the last token's logits alone.
        return self.model(x, x)[0]

    def optimizer(self) -> torch.optim.Optimizer:
        with contextlib.redirect_stdout(sys.stderr):
            return self.model.configure_optimizers(0.1, PEAK, (0.9, 0.99), "cpu")


def started(model_class, config_class, vocab_size: int):
    model = model_class(
        config_class(
            vocab_size=vocab_size,
            n_positions=CONTEXT,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=True,
            use_cache=False,
            attn_implementation="sdpa",
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                # nanoGPT's recipe has no biases: they stay at 0.
                parameter.zero_()
                parameter.requires_grad_(False)
            elif parameter.ndim == 2:
                std = 0.02
                if name.endswith("c_proj.weight"):
                    std /= math.sqrt(2 * LAYERS)
                torch.nn.init.normal_(parameter, 0.0, std)
    return model


def rate(step: int, options: argparse.Namespace) -> float:
    if step < options.warmup:
        return options.peak * (step + 1) / (options.warmup + 1)
    done = (step - options.warmup) / (options.iterations - options.warmup)
    fall = 1 - done if options.linear else 0.5 * (1 + math.cos(math.pi * done))
    return options.floor + fall * (options.peak - options.floor)


@torch.no_grad()
def validation_loss(model: torch.nn.Module, ids: torch.Tensor) -> float:
    """Mean over every token of every whole window of the split that has one before it there."""
    model.eval()
    windows = (len(ids) - 1) // CONTEXT
    x = ids[: windows * CONTEXT].view(windows, CONTEXT)
    y = ids[1 : windows * CONTEXT + 1].view(windows, CONTEXT)
    total = 0.0
    for start in range(0, windows, 128):
        logits = model(x[start : start + 128])
        rows = y[start : start + 128]
        total += float(
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="sum")
        )
    model.train()
    return total / (windows * CONTEXT)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop-at", type=int)
    # What the recipe leaves on the table: other rates, and products in bf16.
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--warmup", type=int, default=WARMUP)
    parser.add_argument("--peak", type=float, default=PEAK)
    parser.add_argument("--floor", type=float, default=FLOOR)
    parser.add_argument("--linear", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nanogpt")
    options = parser.parse_args()
    stop_at = options.stop_at or options.iterations
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with open(options.text, encoding="utf-8") as file:
        text = file.read()
    characters = sorted(set(text))
    index = {character: number for number, character in enumerate(characters)}
    ids = torch.tensor([index[character] for character in text])
    border = int(0.9 * len(ids))
    train, heldout = ids[:border], ids[border:]
    before = time.process_time()
    model = NanoGpt(options.nanogpt, len(characters)) if options.nanogpt else Gpt2(len(characters))
    making = time.process_time() - before
    optimizer = model.optimizer()
    model.train()
    began, began_wall = time.process_time(), time.perf_counter()
    for step in range(stop_at):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, options)
        starts = torch.randint(len(train) - CONTEXT, (BATCH,))
        x = torch.stack([train[i : i + CONTEXT] for i in starts])
        y = torch.stack([train[i + 1 : i + 1 + CONTEXT] for i in starts])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), y.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0:
            print(f"iteration {step}: {float(loss):.3f}", file=sys.stderr, flush=True)
    process = time.process_time() - (0.0 if options.nanogpt else making)
    seconds, wall = time.process_time() - began, time.perf_counter() - began_wall
    print(
        json.dumps(
            {
                "training": seconds,
                "wall": wall,
                # nanoGPT's model is imported in no time; transformers' is not counted.
                "process": process,
                "loss": validation_loss(model, heldout),
                "iterations": stop_at,
                "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            }
        )
    )


if __name__ == "__main__":
    main()
