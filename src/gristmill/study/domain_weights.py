"""`study domain-weights`: weights of domains learned from small proxy runs, and confirmed.

In the manner of RegMix (Liu et al. 2024): small models are trained on mixtures drawn at random, a
law from shares to the loss on each domain is fitted to them, and the mixture that it holds best is
taken. Then models are trained on it, on the natural mixture and on one by temperature, several
seeds each, and scored on held-out documents that had no part in the choice. Every step is a stage:
cached, resumed, on record. The output is a weights file for `data mix --learned`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from gristmill.stages.expansion import Expansion, Place
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.stages.train_lm import TrainLmConfig
from gristmill.study.domain_draw import DrawConfig
from gristmill.study.domain_fit import FitConfig, Target

if TYPE_CHECKING:
    from gristmill.core.artifact import Artifact

NATURAL, TEMPERATURE, LEARNED = "natural", "temperature", "learned"
SETTINGS = (NATURAL, TEMPERATURE, LEARNED)
RESULTS = "results.json"
_TRAIN_SETS = ("size", "token_budget", "byte_budget", "flop_budget")


class DomainWeightsConfig(StageConfig):
    """How many proxies of what size, what is made small, and what confirms it."""

    proxies: int = Field(48, ge=8)
    """Small models, each on a mixture of its own; about four for each domain."""
    size: float = Field(0.3, gt=0)
    """Millions of parameters of a proxy, as in `train lm`."""
    proxy_bytes: int = Field(600_000, ge=1000)
    """Of text that a proxy reads."""
    low: float = Field(0.3, gt=0)
    """Strength of the wildest mixtures: below 1 a few domains have nearly everything."""
    high: float = Field(4.0, gt=0)
    """Strength of the tamest, near the shares by temperature."""
    temperature: float = Field(2.0, gt=0)
    """Centre of the mixtures, and the setting `temperature`: shares by size^(1/T)."""
    target: Target | dict[str, float] = "equal"
    """What is made small: the mean of the domains' bits per byte (equal), the domains as they
    come (natural), or {DOMAIN: WEIGHT, ...}."""
    max_repeats: float = Field(4.0, gt=0)
    """No domain gets more than so many passes over its text in a mixture of budget_bytes."""
    budget_bytes: int | None = Field(None, ge=1)
    """Size of the mixture that the weights are for; default: that of the text."""
    seeds: int = Field(3, ge=1)
    """Trainings of each setting that confirm; 95% intervals need two."""
    confirm_size: float | None = Field(None, gt=0)
    """Millions of parameters of the models that confirm; default: as the proxies."""
    confirm_bytes: int | None = Field(None, ge=1000)
    """Of text that they read; default: as the proxies."""
    heldout_share: float = Field(0.1, gt=0, lt=1)
    """Of the text: half of it chooses the weights, the other half confirms."""
    max_documents: int | None = Field(None, ge=1)
    """Held-out documents that are scored; default: all."""
    train: TrainLmConfig = TrainLmConfig(anneal=0.0)
    """What all trainings share otherwise."""

    @model_validator(mode="after")
    def _own_settings(self) -> Self:
        default = TrainLmConfig()
        for name in _TRAIN_SETS:
            if getattr(self.train, name) != getattr(default, name):
                raise ValueError(f"'train.{name}' is what the study sets itself")
        if self.low > self.high:
            raise ValueError("'low' is above 'high'")
        return self

    def draw(self, number: int = 0) -> DrawConfig:
        """Of one proxy."""
        return DrawConfig(number=number, temperature=self.temperature, low=self.low, high=self.high)

    def fit(self) -> FitConfig:
        """Of the law."""
        return FitConfig(
            target=self.target,
            max_repeats=self.max_repeats,
            budget_bytes=self.budget_bytes,
            draw=self.draw(),
        )

    def training(self, *, confirms: bool) -> dict[str, Any]:
        """The block of a `train lm`; text is read in bytes, which no tokenizer changes."""
        size, budget = self.size, self.proxy_bytes
        if confirms:
            size, budget = self.confirm_size or size, self.confirm_bytes or budget
        update = {"size": size, "byte_budget": budget}
        return self.train.model_copy(update=update).model_dump(mode="json")

    def explain(self) -> list[str]:
        """How many trainings, and of what."""
        return [
            f"{self.proxies} proxies of {self.size:g} M parameters, {self.proxy_bytes:,} bytes "
            f"each; then {len(SETTINGS) * self.seeds} trainings of "
            f"{self.confirm_size or self.size:g} M on "
            f"{self.confirm_bytes or self.proxy_bytes:,} bytes"
        ]


def expand(config: DomainWeightsConfig, place: Place) -> Expansion:
    """A draw, a mixture, its tokens, a training and a score for each proxy; the law; then the
    settings that are compared."""
    documents, tokenizer = (list(place.inputs[slot]) for slot in ("documents", "tokenizer"))
    label = place.name.partition("@")[2] or "weights"
    wanted: list[tuple[str, Mapping[str, Any]]] = []

    def mixed(called: str, size: int, **settings: Any) -> str:
        """Asks for a mixture and its tokens; every mixture holds the same documents out."""
        learned = settings.pop("learned", [])
        # A mixture of just what is read: what is left of a domain would only be stored.
        wanted.append(
            (
                f"data.mix@{called}",
                {**settings, "budget_bytes": size, "heldout_share": config.heldout_share,
                 "anneal_share": 0.0, "max_repeats": config.max_repeats, "seed": place.seed,
                 "inputs": {"documents": documents, "learned": learned}},
            )
        )  # fmt: skip
        inputs = {"mixture": f"data.mix@{called}", "tokenizer": tokenizer}
        wanted.append((f"tokenizer.encode@{called}", {"inputs": inputs}))
        return f"tokenizer.encode@{called}"

    def scored(called: str, tokens: str, seed: int, *, confirms: bool) -> str:
        """Asks for a training on tokens and its score."""
        model, score = f"train.lm@{called}", f"evaluate.perplexity@{called}"
        block = config.training(confirms=confirms)
        wanted.append((model, {**block, "seed": seed, "inputs": {"tokens": tokens}}))
        told = {"ngram_order": 1, "resamples": 100, "max_documents": config.max_documents}
        inputs = {"model": model, "tokens": tokens, "others": []}
        wanted.append((score, {**told, "seed": place.seed, "inputs": inputs}))
        return score

    proxies: dict[str, list[str]] = {"scores": [], "tokens": []}
    for number in range(config.proxies):
        called = f"{label}-{number:03d}"
        draw = f"study.domain-draw@{called}"
        block = config.draw(number).model_dump(mode="json")
        wanted.append((draw, {**block, "seed": place.seed, "inputs": {"documents": documents}}))
        tokens = mixed(called, config.proxy_bytes, learned=[draw])
        proxies["tokens"].append(tokens)
        # One seed for all: what they begin from is not what tells them apart.
        proxies["scores"].append(scored(called, tokens, place.seed, confirms=False))
    fit = f"study.domain-fit@{label}"
    block = config.fit().model_dump(mode="json")
    inputs = {"documents": documents, **proxies}
    wanted.append((fit, {**block, "seed": place.seed, "inputs": inputs}))
    settings: dict[str, dict[str, Any]] = {
        NATURAL: {"weighting": "natural"},
        TEMPERATURE: {"weighting": "temperature", "temperature": config.temperature},
        LEARNED: {"learned": [fit]},
    }
    scores: list[str] = []
    each: list[str] = []
    for name in SETTINGS:
        size = config.confirm_bytes or config.proxy_bytes
        tokens = mixed(f"{label}-{name}", size, **settings[name])
        each.append(tokens)
        for seed in range(config.seeds):
            called = f"{label}-{name}-seed{seed}"
            scores.append(scored(called, tokens, place.seed + seed, confirms=True))
    return Expansion(wanted, {"fit": [fit], "scores": scores, "tokens": each})


@stage(
    "study domain-weights",
    version=1,
    kind="weights",
    config=DomainWeightsConfig,
    inputs={
        "documents": Slot("layer", help="documents with domains"),
        "tokenizer": Slot("tokenizer", help="one for all"),
        "fit": Slot("weights", optional=True, named=True, help="filled by the study"),
        "scores": Slot(
            "evaluation", many=True, optional=True, named=True, help="filled by the study"
        ),
        "tokens": Slot("tokens", many=True, optional=True, named=True, help="filled by the study"),
    },
    summary="learn weights of domains from small runs, and confirm them",
    example="gristmill study domain-weights --documents data.domains --tokenizer tokenizer.train",
    expand=expand,
    seeded=True,
)
def domain_weights(config: DomainWeightsConfig, inputs: Inputs, output: Output) -> None:
    """`weights.json`; figures `domain_weights.SETTING.bits_per_byte`, `.predicted`,
    `domain_weights.difference.SETTING` (to natural)."""
    from gristmill.core.canonical import write_json
    from gristmill.data.domain_weights import WEIGHTS, read_weights, write_weights
    from gristmill.study.domain_draw import domain_bytes, trained_shares
    from gristmill.study.domain_fit import problem_of
    from gristmill.study.domain_weights_results import Confirmed, present

    fit = inputs["fit"]
    problem = problem_of(config.fit(), domain_bytes(inputs["documents"]))
    scores = _by_setting(config, inputs.many("scores"))
    shares = {
        name: trained_shares(tokens.path)
        for name, tokens in zip(SETTINGS, inputs.many("tokens"), strict=True)
    }
    confirmed = Confirmed.of(problem, fit, scores, shares)
    write_weights(output.path / WEIGHTS, read_weights(fit.file(WEIGHTS)), target=config.target)
    write_json(output.path / RESULTS, confirmed.record())
    present(config, confirmed, fit, output)


def _by_setting(
    config: DomainWeightsConfig, scores: list[Artifact]
) -> dict[str, list[dict[str, Any]]]:
    """Each setting's results, in the order of the seeds."""
    found = [score.read_json("results.json") for score in scores]
    return {
        name: found[place * config.seeds : (place + 1) * config.seeds]
        for place, name in enumerate(SETTINGS)
    }
