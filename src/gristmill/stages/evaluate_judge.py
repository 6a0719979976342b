"""`evaluate judge`: models against a baseline on the same prompts, by a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from gristmill.core.artifact import Artifact
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
    from collections.abc import Sequence

    from gristmill.align.chats import Answer, Chat
    from gristmill.evaluate.judge import Judge
    from gristmill.infer.endpoint import Endpoint

RESULTS = "results.json"


class JudgeConfig(StageConfig):
    """What is asked, who judges, and what the judge is held against."""

    prompts: int = Field(100, ge=2)
    """At most so many questions."""
    split: Literal["heldout", "unseen", "prompts"] = "heldout"
    """Which questions of the chats; of answers artifacts always the held-out ones."""
    questions: tuple[str, ...] = content_of(())
    """JSON Lines of one's own questions, {"prompt": ...}, in place of the chats."""
    max_tokens: int = Field(256, ge=1)
    """Longer answers are cut there."""
    temperature: float = Field(0.0, ge=0)
    """0 always takes the most probable token."""
    names: tuple[str, ...] = ()
    """What the models are called, in their order, the baseline last; default: by their stage."""
    by: Literal["given", "rule"] = "given"
    """given: the model, endpoint or reward model that is given; rule: the gold rule judges."""
    rule: str | None = function_name(None)
    """A rule of one's own, package.module:function, in place of the gold one."""
    reference: Literal["none", "rule"] = "none"
    """rule: measure how far the judge agrees with the rule on the same pairs."""
    labels_file: tuple[str, ...] = content_of(())
    """Labels of people, JSON Lines of preferences or battles; the judge is asked about them too."""
    most_labels: int = Field(200, ge=1)
    """At most so many labels."""
    margin: float = Field(0.01, ge=0)
    """Scores of the rule no further apart are a tie."""
    verdict: Literal["auto", "letters", "text"] = "auto"
    """letters: the probabilities of A and B; text: a reason and a last line. auto: letters of a
    model here, text of an endpoint."""
    verdict_tokens: int = Field(256, ge=1)
    """Longest reason with its verdict."""
    prompt_file: str | None = content_of(None)
    """The judge's prompt, a text with {instruction}, {first} and {second}."""
    prompt: str | None = function_name(None)
    """A function of an instruction and two answers that returns the judge's prompt."""
    endpoint: str | None = None
    """An OpenAI-compatible endpoint, up to and with /v1."""
    endpoint_model: str = ""
    """The name by which the endpoint knows the judge."""
    endpoint_api: Literal["chat", "completions"] = "chat"
    """completions: the prompt as plain text, for a model without a chat format."""
    endpoint_key: str = local("")
    """The environment variable that holds its API key, such as OPENAI_API_KEY; where none is named
    none is sent. The key itself is stored nowhere."""
    concurrency: int = local(8, ge=1)
    """Requests to the endpoint at once."""
    timeout: float = local(120.0, gt=0)
    """Seconds for one request."""
    retries: int = local(5, ge=0)
    """Further tries of a request."""
    failed_share: float = local(0.02, ge=0, lt=1)
    """Share of the requests that may stay without an answer."""
    price_in: float = local(0.0, ge=0)
    """Money per million tokens that the endpoint reads."""
    price_out: float = local(0.0, ge=0)
    """Money per million tokens that it writes."""
    max_rows: int = local(128, ge=1)
    """Answers made at once."""
    batch_tokens: int = local(4096, ge=1)
    """Tokens that a reward model reads at once."""


@stage(
    "evaluate judge",
    version=2,
    kind="judgement",
    config=JudgeConfig,
    inputs={
        "models": Slot(
            "model", "answers", many=True, optional=True, named=True, help="what is judged"
        ),
        "baseline": Slot("model", "answers", named=True, help="against which"),
        "chats": Slot("chats", optional=True, help="the questions"),
        "judge": Slot("model", optional=True, named=True, help="a model that judges"),
        "reward": Slot("reward", optional=True, named=True, help="a reward model that judges"),
        "labels": Slot(
            "preferences", "battles", optional=True, named=True, help="people's labels, to agree"
        ),
    },
    summary="count wins against a baseline by a judge, raw and length-controlled",
    example="gristmill evaluate judge --models train.dpo,train.ppo --baseline train.sft "
    "--reward train.reward",
    seeded=True,
)
def evaluate_judge(config: JudgeConfig, inputs: Inputs, output: Output) -> None:
    """judgements.jsonl, one pair a line with both verdicts; battles.jsonl for `arena import`;
    annotations/NAME.json as AlpacaEval lays them out. Figures `judge.win_rate.NAME`,
    `judge.win_rate_lc.NAME`, `judge.consistency`, `judge.agreement` and more."""
    from gristmill.core.canonical import write_json
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.judge import against_baseline, judge_both_orders, judge_table, rejected
    from gristmill.evaluate.judges import Timed
    from gristmill.stages.judging import labelled_pairs, pairs_of
    from gristmill.stages.judging_results import (
        rate_chart,
        references_of,
        result_of,
        tell_cost,
        tell_figures,
        verdict_samples,
        write_judgements,
    )
    from gristmill.stages.model_names import names_of

    baseline = inputs["baseline"]
    models = [one for one in inputs.many("models") if one.content != baseline.content]
    if not models:
        raise GristmillError("nothing to judge", mend="give --models NODE,NODE")
    *names, base = names_of([*models, baseline], config.names)
    judge, endpoint = _judge(config, inputs, output)
    chats, answers = _answers(config, [*models, baseline], [*names, base], inputs, output)
    pairs = {name: pairs_of(chats, answers[base], answers[name]) for name in names}
    labels = labelled_pairs(inputs.get("labels"), config.labels_file, config.most_labels, output)
    timed = Timed(judge)
    asked = 2 * (sum(map(len, pairs.values())) + len(labels.pairs))
    bar = progress("evaluate judge", float(asked), "verdicts")
    try:
        judged = judge_both_orders(timed, pairs, bar)
        on_labels = judge_both_orders(timed, {"labels": labels.pairs}, bar)
    finally:
        bar.close()
    unreadable = rejected({**judged, **on_labels})
    if unreadable and len(unreadable) == timed.asked:
        raise GristmillError(
            f"none of {timed.asked} verdicts can be read: {unreadable[0]['reason']}",
            where=judge.name,
            mend="give a judge with room for the prompt, or another --verdict or --prompt",
        )
    found = against_baseline(judged, seed=output.seed)
    unread = output.reject("verdicts", unreadable)
    output.counts.update(prompts=len(chats), models=len(names), unreadable=unread)
    output.tables.append(judge_table(found, base, judge.name))
    tell_figures(found, judged, output)
    references = references_of(
        judged, labels, on_labels["labels"], output,
        by_rule=config.reference == "rule", rule=config.rule, margin=config.margin,
    )  # fmt: skip
    prints = zip([*names, base], [*models, baseline], strict=True)
    write_judgements(
        output, judged, base, judge.name, {name: one.content[:16] for name, one in prints}
    )
    tell_cost(timed, endpoint, judged, on_labels["labels"], output)
    output.charts.append(rate_chart(found, base))
    output.samples.append(verdict_samples(judged, base))
    write_json(
        output.path / RESULTS,
        {
            "judge": judge.name,
            "baseline": base,
            "models": {name: result_of(one) for name, one in found.items()},
            "agreement": {
                name: {
                    "accuracy": one.accuracy.to_json() if one.accuracy.n else None,
                    "confusion": [list(row) for row in one.confusion],
                }
                for name, one in references.items()
            },
        },
    )


def _judge(config: JudgeConfig, inputs: Inputs, output: Output) -> tuple[Judge, Endpoint | None]:
    """Who judges. Raises GristmillError where none is given, or two."""
    from gristmill.core.errors import GristmillError
    from gristmill.evaluate.judge_prompts import (
        prompt_of_file,
        prompt_of_function,
        standard_prompt,
    )
    from gristmill.evaluate.judges import TextJudge
    from gristmill.infer.endpoint import Endpoint, Settings
    from gristmill.stages.judging import local_text, reward_judge, rule_judge
    from gristmill.stages.model_names import names_of

    model, reward = inputs.get("judge"), inputs.get("reward")
    given = [model is not None, reward is not None, config.endpoint is not None]
    if sum(given) + (config.by == "rule") != 1:
        raise GristmillError(
            "two judges at once" if sum(given) else "no judge",
            mend="give one of --judge MODEL, --reward MODEL, --endpoint URL and --by rule",
        )
    if config.by == "rule":
        return rule_judge(config.rule, config.margin), None
    if reward is not None:
        return reward_judge(reward, output, config.batch_tokens), None
    letters = config.verdict == "letters" or (config.verdict == "auto" and model is not None)
    if config.prompt_file is not None and config.prompt is not None:
        raise GristmillError("two prompts at once", mend="give --prompt or --prompt_file")
    if config.prompt is not None:
        prompt = prompt_of_function(config.prompt)
    elif config.prompt_file is not None:
        prompt = prompt_of_file(config.prompt_file)
    else:
        prompt = standard_prompt(letters=letters)
    endpoint = None
    generator: Any
    if model is not None:
        (name,), generator = names_of([model]), local_text(model, output, config.max_rows)
    else:
        settings = Settings(
            config.endpoint or "", config.endpoint_model, config.endpoint_api,
            config.endpoint_key, config.concurrency, config.timeout, config.retries,
            failed_share=config.failed_share,
            price_in=config.price_in, price_out=config.price_out,
        )  # fmt: skip
        generator = endpoint = Endpoint(settings, output.run)
        name = config.endpoint_model
    judge = TextJudge(
        name, generator, prompt, letters=letters, max_tokens=config.verdict_tokens,
        seed=output.seed,
    )  # fmt: skip
    return judge, endpoint


def _answers(
    config: JudgeConfig,
    artifacts: Sequence[Artifact],
    names: Sequence[str],
    inputs: Inputs,
    output: Output,
) -> tuple[list[Chat], dict[str, dict[str, Answer]]]:
    """The prompts that everyone answered, and the answers by model and prompt."""
    from gristmill.core.errors import GristmillError
    from gristmill.stages.judging import Asked, answers_of

    chats = _questions(config, artifacts, inputs, output)
    how = Asked(config.max_tokens, config.temperature, config.max_rows)
    own = sum(artifact.kind == "model" for artifact in artifacts)
    bar = progress("answers", float(own * len(chats)), "answers")
    try:
        answers = {
            name: answers_of(artifact, name, chats, how, output, bar, "heldout")
            for artifact, name in zip(artifacts, names, strict=True)
        }
    finally:
        bar.close()
    kept = [chat for chat in chats if all(chat.id in given for given in answers.values())]
    if len(kept) < 2:
        raise GristmillError(
            f"only {len(kept)} of {len(chats)} questions were answered by every model",
            mend="look into rejects, or give models that answer the same questions",
        )
    return kept, answers


def _questions(
    config: JudgeConfig, artifacts: Sequence[Artifact], inputs: Inputs, output: Output
) -> list[Chat]:
    from gristmill.align.chats import Chat, read_answers, read_chats
    from gristmill.core.errors import GristmillError
    from gristmill.stages.judging import read_questions

    chats = inputs.get("chats")
    given = next((one for one in artifacts if one.kind == "answers"), None)
    rejects: list[dict[str, str]] = []
    found: list[Chat] = []
    if config.questions:
        for path in config.questions:
            more, unfit = read_questions(path)
            found, rejects = found + more, rejects + unfit
    elif given is not None:
        records, rejects = read_answers(given.file("heldout.jsonl"))
        found = [Chat(r.id, r.messages, r.group, r.kind, r.truth) for r in records]
    elif chats is not None:
        found, rejects = read_chats(chats.file(f"{config.split}.jsonl"))
    else:
        raise GristmillError("no questions", mend="give --chats CHATS, or --questions [FILE.jsonl]")
    output.counts["questions_rejected"] = output.reject("questions", rejects)
    # Two questions with one id would share their answers.
    different = list({chat.id: chat for chat in found}.values())
    return different[: config.prompts]
