"""`generate`: completions of prompts."""

from __future__ import annotations

from pydantic import Field

from gristmill.core.figure import Figure, Samples
from gristmill.core.progress import progress
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, content_of, local, stage

COMPLETIONS = "completions.jsonl"
# Beginnings of the kind that an encyclopaedia's articles have, and two that they do not.
PROMPTS = (
    "The city of",
    "Physics is the",
    "She was an American",
    "The species is found in",
    "In mathematics, a",
    "The war began when",
    "Music is",
    "The river flows",
    "The mouse ate",
    "What is water?",
)


class GenerateConfig(StageConfig):
    """What is continued, and how tokens are chosen."""

    prompts: tuple[str, ...] = PROMPTS
    """An empty one begins a document from nothing."""
    prompt_files: tuple[str, ...] = content_of(())
    """Text files with a prompt on each line, beside `prompts`."""
    samples: int = Field(1, ge=1)
    """Completions of each prompt."""
    max_tokens: int = Field(64, ge=1)
    temperature: float = Field(0.7, ge=0)
    """0 always takes the most probable token."""
    top_k: int = Field(0, ge=0)
    top_p: float = Field(0.95, gt=0, le=1)
    max_rows: int = local(32, ge=1)
    """Completions made at once."""


@stage(
    "generate",
    version=1,
    kind="completions",
    config=GenerateConfig,
    inputs={"model": Slot("model")},
    summary="continue prompts",
    example='gristmill generate --model FOLDER --prompts "[The city of, Music is]"',
    seeded=True,
)
def generate(config: GenerateConfig, inputs: Inputs, output: Output) -> None:
    """`completions.jsonl`: prompt, text, tokens, log-probability and why it ended, one a line."""
    import json
    from pathlib import Path

    from gristmill.core.errors import GristmillError
    from gristmill.core.seeds import derive_seed
    from gristmill.infer.engine import Engine
    from gristmill.infer.generator import Request, Sampling
    from gristmill.model.device import choose_device
    from gristmill.model.weights import load_model
    from gristmill.tokenizer.tokenizer import Tokenizer

    prompts = list(config.prompts)
    for path in config.prompt_files:
        prompts += Path(path).read_text(encoding="utf-8").splitlines()
    if not prompts:
        raise GristmillError("no prompts", mend="give --prompts or --prompt_files")
    folder = inputs["model"].path
    tokenizer = Tokenizer.load(folder)
    engine = Engine(
        load_model(folder, choose_device(output.execution.device)), max_rows=config.max_rows
    )
    sampling = Sampling(
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        stop_ids=(tokenizer.eot_id,),
    )
    requests = [
        # From the prompt, not from its place: another prompt beside it changes nothing.
        Request(
            [tokenizer.eot_id, *tokenizer.encode(prompt)],
            sampling,
            derive_seed(output.seed, prompt, number),
        )
        for prompt in prompts
        for number in range(config.samples)
    ]
    bar = progress("generate", float(len(requests)), "completions")
    try:
        completions = engine.generate(requests, bar)
    finally:
        bar.close()
    texts = [prompt for prompt in prompts for _ in range(config.samples)]
    rows = []
    with open(output.path / COMPLETIONS, "w", encoding="utf-8", newline="\n") as file:
        for prompt, completion in zip(texts, completions, strict=True):
            text = tokenizer.decode(completion.tokens, skip_special=True)
            record = {
                "prompt": prompt,
                "text": text,
                "tokens": completion.tokens,
                "log_probability": round(sum(completion.log_probabilities), 4),
                "finish": completion.finish,
            }
            file.write(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n")
            rows.append({"prompt": prompt, "completion": text})
    how = f"temperature {config.temperature:g}, top-p {config.top_p:g}"
    output.samples.append(Samples("Completions", rows[:40], note=how))
    made = sum(len(completion.tokens) for completion in completions)
    stopped = sum(completion.finish == "stop" for completion in completions)
    output.counts.update(completions=len(completions), tokens=made, stopped=stopped)
    output.figures["generate.tokens"] = Figure(made / len(completions), n=len(completions))
