"""`align rank`: preferences from sampled answers, by a rule, a reward model or by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gristmill.core.artifact import Artifact
from gristmill.core.figure import Chart, Figure, Series
from gristmill.core.progress import progress
from gristmill.stages.stage import (
    Inputs,
    Output,
    Slot,
    StageConfig,
    content_of,
    function_name,
    local,
    stage,
)

if TYPE_CHECKING:
    from gristmill.align.chats import Answers, Preference
    from gristmill.align.ranking import HowPaired, Ranked, Scorer

SPLITS = ("train", "heldout")
_BINS = 20


class RankConfig(StageConfig):
    """Who ranks, and which pairs are made."""

    rule: str | None = function_name(None)
    """A function of one's own, package.module:function, in place of the gold rule. It takes an
    answer and what was asked, and returns a number."""
    by_hand: tuple[str, ...] = content_of(())
    """Rankings by people, JSON Lines: {"id", "ranking": [2, 0, 1]} or {"id", "chosen",
    "rejected"}; in place of a rule."""
    files: tuple[str, ...] = content_of(())
    """Preferences that exist already, JSON Lines: {"prompt": ..., "chosen": ..., "rejected": ...},
    or with "messages" in place of a prompt. They are added as they are; no answers are needed."""
    labels: str | None = content_of(None, hashed_by="gristmill.serve.store:labels_hash")
    """What people chose on the labelling page of `serve`: WORKSPACE/serve/store.sqlite. Taken as
    they are, in place of ranking answers; a tie or a skip makes no preference."""
    pairs: Literal["extremes", "all"] = "all"
    """extremes: the best answer against the worst; all: every two that differ by the margin."""
    margin: float = Field(0.05, ge=0)
    """A smaller difference of scores is a tie and makes no pair."""
    per_prompt: int = Field(3, ge=1)
    """At most so many pairs of drawn answers, the widest first."""
    baseline: bool = True
    """Also pair each drawn answer with the baseline, for a direct reward."""
    noise: float = Field(0.0, ge=0, lt=0.5)
    """Share of the training labels that is turned round, as raters err."""
    batch_tokens: int = local(4096, ge=1)
    """Tokens that a reward model reads at once."""


@stage(
    "align rank",
    version=1,
    kind="preferences",
    config=RankConfig,
    inputs={
        "answers": Slot(
            "answers", optional=True, help="sampled answers, where they are ranked here"
        ),
        "reward": Slot("reward", optional=True, named=True, help="ranks in place of the rule"),
    },
    summary="order sampled answers into preferences",
    example="gristmill align rank --answers ANSWERS --pairs extremes",
    seeded=True,
)
def align_rank(config: RankConfig, inputs: Inputs, output: Output) -> None:
    """train.jsonl and heldout.jsonl: pairs; scored/: all answers with their scores. Figures:
    `preferences.pairs`, `preferences.chosen_longer`, `preferences.ties` and more."""
    from gristmill.align.chats import read_answers, write_records
    from gristmill.align.ranking import (
        preference_figures,
        preference_samples,
        rank,
        score_by_rule,
        with_scores,
    )
    from gristmill.align.rules import load_rule
    from gristmill.core.errors import GristmillError

    answers, reward = inputs.get("answers"), inputs.get("reward")
    if answers is None and not config.files and not config.labels:
        raise GristmillError(
            "nothing to rank",
            mend="give --answers FOLDER, --labels STORE or --files [PREFERENCES.jsonl]",
        )
    rankers = {
        "--reward": reward is not None,
        "--rule": config.rule is not None,
        "--by_hand": bool(config.by_hand),
        "--labels": config.labels is not None,
    }
    if sum(rankers.values()) > 1:
        raise GristmillError(
            "two rankers at once", mend="give one of --reward, --rule, --by_hand and --labels"
        )
    if config.labels is not None:
        # Those labels say what is better; no rule adds its own opinion of the same answers.
        answers = None
    scorer: Scorer = score_by_rule(load_rule(config.rule))
    if reward is not None:
        scorer = _by_reward(reward, config, output)
    ranked: dict[str, Ranked] = {}
    refused: list[dict[str, str]] = []
    for split in SPLITS:
        file = answers.path / f"{split}.jsonl" if answers is not None else None
        found, rejects = read_answers(file) if file is not None and file.is_file() else ([], [])
        output.counts[f"{split}_rejected"] = output.reject(split, rejects)
        scored = found if config.by_hand else with_scores(found, scorer)
        write_records(output.path / "scored" / f"{split}.jsonl", scored)
        # Raters err where they teach; what is measured against is not blurred.
        how = _how(config, config.noise if split == "train" else 0.0)
        if config.by_hand:
            ranked[split] = _hand(scored, config, how)
        else:
            ranked[split] = rank(
                scored, how, "reward" if reward is not None else "rule", output.seed
            )
        if split == "train" and config.labels is not None:
            ranked[split].preferences += _labelled(config.labels, output)
        if split == "train" and config.files:
            ranked[split].preferences += _own(config, output, refused)
        _count(output, split, ranked[split])
        write_records(output.path / f"{split}.jsonl", ranked[split].preferences)
        if scored and split == "train" and not config.by_hand:
            output.charts.append(_spread(scored))
    if config.by_hand:
        output.counts["by_hand_rejected"] = output.reject("by_hand", _unfit_everywhere(ranked))
    train = ranked["train"].preferences
    if not train:
        if config.labels is not None and not config.files:
            raise GristmillError(
                "no label prefers an answer",
                where=config.labels,
                mend="choose between pairs on the page: gristmill serve, then /labels",
            )
        if answers is None:
            why = f": {refused[0]['reason']}" if refused else ""
            raise GristmillError(
                f"no preference in the files{why}",
                where=refused[0]["where"] if refused else config.files[0],
                mend='write {"prompt": ..., "chosen": ..., "rejected": ...} on each line',
            )
        raise GristmillError(
            "no preference came out",
            where=answers.path / "train.jsonl",
            mend="sample more answers or lower the margin",
        )
    for name, figure in preference_figures(train).items():
        output.figures[f"preferences.{name}"] = figure
    output.figures["preferences.ties"] = Figure(ranked["train"].counts["ties"])
    output.figures["preferences.heldout"] = Figure(len(ranked["heldout"].preferences))
    output.samples.append(preference_samples(train, "Preferences"))


def _own(config: RankConfig, output: Output, refused: list[dict[str, str]]) -> list[Preference]:
    """The preferences of the files; two with one id in different files are two all the same."""
    from gristmill.align.chats import read_preferences

    own: list[Preference] = []
    for path in config.files:
        found, rejects = read_preferences(path)
        own += found
        output.counts["own_rejected"] = output.counts.get("own_rejected", 0) + len(rejects)
        output.reject("files", rejects)
        refused += rejects
    output.counts["own"] = len(own)
    return own


def _labelled(path: str, output: Output) -> list[Preference]:
    """The labels of a store that prefer an answer, read as any file of preferences is."""
    from gristmill.align.chats import read_preferences
    from gristmill.serve.store import Store

    store = Store.open(path, create=False)
    try:
        lines = [json.dumps(line, ensure_ascii=False) for line in store.preferences()]
        told = store.labelled()
    finally:
        store.close()
    kept = output.path / "labels.jsonl"
    kept.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    found, rejects = read_preferences(kept)
    output.counts["labels"] = len(told)
    output.counts["labels_without_choice"] = len(told) - len(lines)
    output.counts["labels_rejected"] = output.reject("labels", rejects)
    return found


def _how(config: RankConfig, noise: float) -> HowPaired:
    from gristmill.align.ranking import HowPaired

    return HowPaired(config.pairs, config.margin, config.per_prompt, config.baseline, noise)


def _by_reward(reward: Artifact, config: RankConfig, output: Output) -> Scorer:
    from gristmill.align.ranking import score_by_reward
    from gristmill.align.reward import RewardModel
    from gristmill.model.device import choose_device
    from gristmill.tokenizer.chat import ChatFormat
    from gristmill.tokenizer.tokenizer import Tokenizer

    model = RewardModel.load(reward.path, choose_device(output.execution.device))
    chat_format = ChatFormat.load(reward.path, Tokenizer.load(reward.path))
    # +1 and -1 would make ties of most pairs: a direct reward ranks by the number behind them.
    read = model.raw if model.form == "direct" else model.score

    def score(conversations: list[list[int]]) -> list[float]:
        bar = progress("align rank", float(len(conversations)), "answers")
        try:
            found = read(conversations, batch_tokens=config.batch_tokens, progress=bar)
            return [float(value) for value in found]
        finally:
            bar.close()

    return score_by_reward(score, chat_format)


def _hand(scored: list[Answers], config: RankConfig, how: HowPaired) -> Ranked:
    from gristmill.align.ranking import Ranked, rank_by_hand

    whole = Ranked()
    for path in config.by_hand:
        found = rank_by_hand(scored, Path(path), how)
        whole.preferences += found.preferences
        whole.rejects += found.rejects
        whole.counts.update(found.counts)
    return whole


def _unfit_everywhere(ranked: dict[str, Ranked]) -> list[dict[str, str]]:
    """The lines of rankings by hand that fit neither split; a line is tried on both."""
    from gristmill.align.ranking import NO_PROMPT

    train, heldout = ({r["where"]: r for r in ranked[split].rejects} for split in SPLITS)
    return [
        heldout[where] if reject["reason"] == NO_PROMPT else reject
        for where, reject in train.items()
        if where in heldout
    ]


def _count(output: Output, split: str, ranked: Ranked) -> None:
    output.counts[split] = len(ranked.preferences)
    for name, count in sorted(ranked.counts.items()):
        output.counts[f"{split}_{name}"] = count


def _spread(scored: list[Answers]) -> Chart:
    """How many answers have which score: baselines and draws."""
    sets = {
        "greedy": [one.answers[0].score or 0.0 for one in scored],
        "drawn": [a.score or 0.0 for one in scored for a in one.answers[1:]],
    }
    everything = [value for values in sets.values() for value in values]
    low, high = min(everything), max(everything)
    width = (high - low) / _BINS or 1.0
    series = []
    for name, values in sets.items():
        counts = [0] * _BINS
        for value in values:
            counts[min(_BINS - 1, int((value - low) / width))] += 1
        shares = [count / max(1, len(values)) for count in counts]
        series.append(Series(name, [low + (i + 0.5) * width for i in range(_BINS)], shares))
    return Chart("Scores of sampled answers", "score", "share of answers", series)
