"""`scaling recipe`: what the size dial says of a model, each number with its reason, as YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gristmill.core.figure import Figure, Table
from gristmill.stages.stage import Inputs, Output, StageConfig, stage

if TYPE_CHECKING:
    from gristmill.scaling.dial import Dial

RECIPE = "recipe.yaml"


class RecipeConfig(StageConfig):
    """The model that is wished for."""

    size: float = Field(gt=0)
    """Millions of parameters."""
    token_budget: int | None = Field(None, ge=1)
    """Tokens to train on; default: 20 for each parameter."""
    vocab_size: int | None = Field(None, ge=257)
    """Tokens of the vocabulary; default: by size, 4,096 to 131,072."""
    context: int | None = Field(None, ge=2)
    """Tokens that it reads at once; default: by size, 256 to 4,096."""
    text: str = "texts"
    """The folder of text that the recipe reads."""


@stage(
    "scaling recipe",
    version=2,
    kind="recipe",
    config=RecipeConfig,
    inputs={},
    summary="write shape, batch, rates and schedule of a model, with reasons, as a recipe",
    example="gristmill scaling recipe --size 124 --token_budget 2500000000",
)
def scaling_recipe(config: RecipeConfig, inputs: Inputs, output: Output) -> None:
    """recipe.yaml. Figures: `recipe.parameters`, `recipe.tokens`, `recipe.flops`,
    `recipe.memory_gb`."""
    from gristmill.scaling import dial
    from gristmill.scaling.cost import cost
    from gristmill.scaling.recipe_file import context_for, recipe_text, vocabulary_for

    parameters = config.size * 1e6
    vocab_size = config.vocab_size or vocabulary_for(parameters)
    context = config.context or context_for(parameters)
    turned = dial.turn(
        parameters, vocab_size=vocab_size, context=context, tokens=config.token_budget
    )
    needs = cost(turned)
    output.figures |= {
        "recipe.parameters": Figure(turned.parameters),
        "recipe.tokens": Figure(turned.tokens),
        "recipe.flops": Figure(needs.flops),
        "recipe.memory_gb": Figure(needs.memory_bytes / 1e9),
    }
    output.tables.append(_table(turned, vocab_size, context))
    output.notes.append(f"{dial.DEMO.name}: {dial.DEMO.scale}")
    text = recipe_text(
        parameters,
        config.token_budget or turned.tokens,
        about=f"Written by gristmill scaling recipe: {turned.parameters:,} parameters on "
        f"{turned.tokens:,} tokens.",
        text=config.text,
        vocab_size=vocab_size,
        context=context,
    )
    (output.path / RECIPE).write_text(text, encoding="utf-8")


def _table(turned: Dial, vocab_size: int, context: int) -> Table:
    from gristmill.stages.train_lm import TrainLmConfig

    usual = TrainLmConfig()
    rows: list[list[str]] = [
        ["vocab_size", f"{vocab_size:,}", "a larger model has use for more (Tao et al. 2024)"],
        ["context", f"{context:,}", "4,096 from a billion parameters on, 1,024 from 30 million"],
    ]
    for reason in turned.reasons:
        value = reason.value
        if not isinstance(value, str):
            value = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
        rows.append([reason.name, value, reason.why])
    rows += [
        ["schedule", usual.schedule, "holds the rates, then falls: the length may be chosen late"],
        ["decay", f"{usual.decay:g}", "share of the steps in which the rates fall; by the demo"],
        ["optimizer", usual.optimizer, "for the blocks; all else is moved by AdamW"],
        ["momentum", f"{usual.momentum:g}", "low, as small batches want; tuned on the demo"],
    ]
    return Table("What follows from the size", ["", "value", "why"], rows)
