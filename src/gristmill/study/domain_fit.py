"""`study domain-fit`: a law of loss over mixtures, fitted to proxy runs, and its best mixture.

Half of the held-out documents, by hash, are what the law is fitted on; the other half is for the
runs that confirm it, so that they are not scored on what chose the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.figure import Chart, Figure, Series, Table
from gristmill.stages.stage import Inputs, Output, Slot, StageConfig, stage
from gristmill.study.domain_draw import DrawConfig

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gristmill.core.artifact import Artifact
    from gristmill.scaling.mixing_law import FittedLaw

    Floats = npt.NDArray[np.float64]

RUNS = "runs.json"
Target = Literal["equal", "natural"]
_CANDIDATES = 20_000
_RESAMPLES = 200


class FitConfig(StageConfig):
    """What the weights are to be good for, and what they may be."""

    target: Target | dict[str, float] = "equal"
    """What is made small: the mean of the domains' bits per byte (equal), the domains as they
    come (natural), or {DOMAIN: WEIGHT, ...}."""
    max_repeats: float = Field(4.0, gt=0)
    """No domain gets more than so many passes over its text..."""
    budget_bytes: int | None = Field(None, ge=1)
    """...in a mixture of so many bytes; default: as many as there are."""
    draw: DrawConfig = DrawConfig()
    """Where mixtures are looked for: as the proxies' were drawn."""


@dataclass(frozen=True)
class Problem:
    """What the fit looks at: names of the domains, bytes of each, target weights and caps."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    target: Floats
    caps: Floats

    @property
    def natural(self) -> Floats:
        """Shares as they come."""
        import numpy as np

        sizes = np.array(self.sizes, np.float64)
        return sizes / sizes.sum()


@stage(
    "study domain-fit",
    version=1,
    kind="weights",
    config=FitConfig,
    inputs={
        "documents": Slot("layer", help="documents with domains"),
        "scores": Slot("evaluation", many=True, named=True, help="of the proxies"),
        "tokens": Slot("tokens", many=True, named=True, help="what they trained on, as ordered"),
    },
    summary="fit weights of domains to proxy runs, by a law of loss",
    example="gristmill study domain-fit --documents data.domains --scores A,B --tokens A,B",
    seeded=True,
)
def domain_fit(config: FitConfig, inputs: Inputs, output: Output) -> None:
    """`weights.json`, `runs.json`; figures `domain_weights.law.*`."""
    import numpy as np

    from gristmill.core.canonical import write_json
    from gristmill.data.domain_weights import WEIGHTS, write_weights
    from gristmill.scaling.mixing_law import best_mixture, bootstrap, fit_mixing_law
    from gristmill.study.domain_draw import domain_bytes

    problem = problem_of(config, domain_bytes(inputs["documents"]))
    shares, losses = runs_of(problem, inputs.many("scores"), inputs.many("tokens"))
    fitted = fit_mixing_law(shares, losses)
    candidates = _candidates(config, problem, output.seed)
    best = best_mixture(fitted.law, problem.target, candidates)
    again = bootstrap(
        fitted.law,
        shares,
        losses,
        lambda law: best_mixture(law, problem.target, candidates),
        resamples=_RESAMPLES,
        seed=output.seed,
    )
    low, high = np.percentile(again, [2.5, 97.5], axis=0)
    write_weights(
        output.path / WEIGHTS,
        dict(zip(problem.names, best.tolist(), strict=True)),
        runs=len(losses),
        target=config.target,
    )
    write_json(output.path / RUNS, _record(problem, fitted, shares, losses))
    _present_law(problem, fitted, shares, losses, output)
    output.tables.append(
        Table(
            "Learned weights",
            ["domain", "natural", "learned", "of natural", "bytes"],
            [
                [name, natural, Figure(w, float(a), float(b)), round(w / natural, 2), size]
                for name, natural, w, a, b, size in zip(
                    problem.names, problem.natural.tolist(), best.tolist(), low, high,
                    problem.sizes, strict=True,
                )
            ],
            f"Intervals: 95% of {_RESAMPLES} fits to runs drawn again. No domain is seen more "
            f"than {config.max_repeats:g} times.",
        )
    )  # fmt: skip
    output.charts.append(
        Chart(
            "Learned weights beside natural shares",
            "",
            "share of training bytes (95% over runs)",
            [
                Series("natural", list(range(len(best))), problem.natural.tolist()),
                Series("learned", list(range(len(best))), best.tolist(), low.tolist(),
                       high.tolist()),
            ],
            style="bar",
            categories=list(problem.names),
        )
    )  # fmt: skip
    output.counts.update(runs=len(losses), domains=len(problem.names))


def problem_of(config: FitConfig, sizes: Mapping[str, int]) -> Problem:
    """Raises GristmillError for a target that names no domain that is there."""
    import numpy as np

    from gristmill.core.errors import GristmillError
    from gristmill.core.nearest import did_you_mean

    names = tuple(sizes)
    total = sum(sizes.values())
    if isinstance(config.target, dict):
        for name in config.target:
            if name not in sizes:
                raise GristmillError(
                    f"no document is of the domain '{name}'",
                    where="target",
                    mend=did_you_mean(name, names),
                )
        target = np.array([config.target.get(name, 0.0) for name in names])
        if target.min() < 0 or target.sum() <= 0:
            raise GristmillError("target weights must be 0 or more, one above 0", where="target")
    elif config.target == "natural":
        target = np.array([sizes[name] for name in names], np.float64)
    else:
        target = np.ones(len(names))
    caps = config.max_repeats * np.array(list(sizes.values())) / (config.budget_bytes or total)
    return Problem(names, tuple(sizes.values()), target / target.sum(), np.minimum(1.0, caps))


def runs_of(
    problem: Problem, scores: Sequence[Artifact], tokens: Sequence[Artifact]
) -> tuple[Floats, Floats]:
    """Each run's shares of training bytes [N, K] and bits per byte by domain [N, K], on the half
    of the held-out documents that weights are chosen by.

    Raises GristmillError where a domain has no held-out text there, or runs differ in their text.
    """
    import numpy as np

    from gristmill.core.errors import GristmillError
    from gristmill.study.domain_draw import trained_shares

    shares, losses = [], []
    text: list[str] | None = None
    for score, trained in zip(scores, tokens, strict=True):
        results = score.read_json("results.json")
        ids = [document["id"] for document in results["documents"]]
        if text is not None and ids != text:
            raise GristmillError("the runs were not scored on the same text", where=score.path)
        text = ids
        found = bits_by_domain(results, chosen=True)
        wanting = [
            name for name, weight in zip(problem.names, problem.target, strict=True)
            if weight > 0 and name not in found
        ]  # fmt: skip
        if wanting:
            raise GristmillError(
                f"no held-out document is of the domain '{wanting[0]}'",
                where=score.path,
                mend="raise heldout_share, or give a target without that domain",
            )
        share = trained_shares(trained.path)
        shares.append([share.get(name, 0.0) for name in problem.names])
        # A domain that counts nothing and has no text is given a loss that no mixture moves.
        losses.append([found.get(name, 1.0) for name in problem.names])
    return np.array(shares), np.array(losses)


def bits_by_domain(results: Mapping[str, Any], *, chosen: bool) -> dict[str, float]:
    """Bits per byte of each domain's held-out text: of the half by which weights are chosen, or of
    the other half."""
    from gristmill.core.seeds import derive_seed

    bits: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for document, found in zip(results["documents"], results["bits"]["base"]["text"], strict=True):
        if (derive_seed(0, "chooses weights", document["id"]) % 2 == 0) != chosen:
            continue
        name = document["domain"]
        bits[name] = bits.get(name, 0.0) + found
        sizes[name] = sizes.get(name, 0) + document["bytes"]
    return {name: bits[name] / sizes[name] for name in sorted(bits) if sizes[name]}


def _candidates(config: FitConfig, problem: Problem, seed: int) -> Floats:
    """Mixtures to choose from, none beyond its caps; the natural one is among them."""
    import numpy as np

    from gristmill.core.seeds import derive_seed
    from gristmill.data.domain_weights import draw_mixture, tempered, within_caps

    centre = tempered(problem.sizes, config.draw.temperature)
    own = derive_seed(seed, "candidates")
    drawn = [
        draw_mixture(centre, i, strength=(config.draw.low, config.draw.high), seed=own)
        for i in range(_CANDIDATES)
    ]
    return within_caps(np.array([problem.natural, centre, *drawn]), problem.caps)


def _record(problem: Problem, fitted: FittedLaw, shares: Floats, losses: Floats) -> dict[str, Any]:
    """Every proxy run, and the law, so that anyone can fit another."""
    law = fitted.law
    return {
        "domains": list(problem.names),
        "target": problem.target.round(9).tolist(),
        "runs": [
            {"shares": s.round(9).tolist(), "bits_per_byte": b.round(9).tolist(),
             "predicted_without_it": p.round(9).tolist()}
            for s, b, p in zip(shares, losses, fitted.left_out_ND, strict=True)
        ],
        "law": {
            "floor": law.floor_D.round(9).tolist(),
            "level": law.level_D.round(9).tolist(),
            "pull": law.pull_DK.round(9).tolist(),
        },
    }  # fmt: skip


def _present_law(
    problem: Problem, fitted: FittedLaw, shares: Floats, losses: Floats, output: Output
) -> None:
    import numpy as np

    from gristmill.scaling.mixing_law import linear_left_out, rank_correlation

    measured = losses @ problem.target
    predicted = fitted.left_out_ND @ problem.target
    linear = linear_left_out(shares, measured)

    def explained(guess: Floats) -> float:
        spread = float(((measured - measured.mean()) ** 2).sum())
        return 1.0 - float(((guess - measured) ** 2).sum()) / max(spread, 1e-300)

    runs = len(measured)
    output.figures["domain_weights.law.explained"] = Figure(explained(predicted), n=runs)
    output.figures["domain_weights.law.rank"] = Figure(
        rank_correlation(predicted, measured), n=runs
    )
    output.figures["domain_weights.law.error"] = Figure(
        float(np.sqrt(np.mean((predicted - measured) ** 2))), n=runs
    )
    output.figures["domain_weights.linear.explained"] = Figure(explained(linear), n=runs)
    output.charts.append(
        Chart(
            "Proxy runs: measured against predicted by a law that had not seen them",
            "predicted bits per byte, target",
            "measured",
            [
                Series("proxy runs", predicted.tolist(), measured.tolist(), mark="dots"),
                Series("equal", [float(measured.min()), float(measured.max())],
                       [float(measured.min()), float(measured.max())], mark="line"),
            ],
            style="points",
        )
    )  # fmt: skip
    order = np.argsort(measured, kind="stable").tolist()
    rows = []
    for rank in [*order[:5], *order[-5:]] if runs > 10 else order:
        most = np.argsort(-shares[rank], kind="stable")[:3].tolist()
        largest = ", ".join(f"{problem.names[k]} {shares[rank, k]:.2f}" for k in most)
        rows.append([rank, largest, float(measured[rank]), float(predicted[rank])])
    output.tables.append(
        Table(
            "Proxy runs, best first" + (": the first and the last five" if runs > 10 else ""),
            ["run", "its largest domains", "measured", "predicted without it"],
            rows,
            "Bits per byte of the target, on the half of the held-out documents that the law is "
            f"fitted on. All {runs} runs: {RUNS}.",
        )
    )
    diagonal = [
        [name, float(losses[:, i].min()), float(losses[:, i].max()),
         _correlation(shares[:, i], losses[:, i])]
        for i, name in enumerate(problem.names)
    ]  # fmt: skip
    output.tables.append(
        Table(
            "What the mixture does to each domain",
            ["domain", "lowest", "highest", "with its own share"],
            diagonal,
            "Bits per byte over the proxy runs, and its correlation with the domain's own share: "
            "near -1 where only text of the domain helps it.",
        )
    )


def _correlation(a: Floats, b: Floats) -> float | None:
    import numpy as np

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
