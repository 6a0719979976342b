"""Answers sampled from a model: for each prompt the greedy one, then `samples` drawn ones.

The greedy answer is the baseline and stands first; the others are independent draws from the
model's own distribution, which is what best-of-n and PPO reason about. An answer that ran into the
length limit has not stopped, and nobody writes an end that was not sampled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gristmill.align.chats import Answer, Answers, Chat
from gristmill.core.figure import Figure, proportion, t_mean
from gristmill.core.progress import Progress, Silent
from gristmill.core.seeds import derive_seed
from gristmill.infer.generator import Completion, Generator, Request, Sampling
from gristmill.tokenizer.chat import ChatFormat

CHUNK_PROMPTS = 32


@dataclass(frozen=True)
class HowSampled:
    """samples: drawn answers of each prompt, beside the greedy one. temperature: of those."""

    samples: int = 4
    temperature: float = 1.0
    max_tokens: int = 80


def sample_answers(
    generator: Generator,
    chat_format: ChatFormat,
    prompts: Sequence[Chat],
    how: HowSampled,
    *,
    seed: int,
    context: int,
    progress: Progress | None = None,
) -> list[Answers]:
    """The answers to each prompt that leaves room in a context of `context` ids, in order.

    Each draw's seed comes from its prompt's id and its number: what is sampled beside it, before
    it or in another attempt changes nothing. log_probability is that of the whole answer with its
    end, at the sampling temperature (at 1 for the greedy one).
    """
    progress = progress or Silent()
    done: list[Answers] = []
    for chunk in chunks(fitting(prompts, chat_format, context)[0]):
        done += sample_chunk(generator, chat_format, chunk, how, seed)
        progress.advance(len(chunk))
    return done


def sample_chunk(
    generator: Generator,
    chat_format: ChatFormat,
    chunk: Sequence[Chat],
    how: HowSampled,
    seed: int,
) -> list[Answers]:
    """The answers to a few prompts at once."""
    greedy = Sampling(how.max_tokens, 0.0, stop_ids=chat_format.stop_ids)
    drawn = dataclasses.replace(greedy, temperature=how.temperature)
    requests = []
    for chat in chunk:
        ids = chat_format.prompt(chat.prompt)
        requests.append(Request(ids, greedy))
        requests += [
            Request(ids, drawn, derive_seed(seed, chat.id, number)) for number in range(how.samples)
        ]
    completions = generator.generate(requests)
    each = how.samples + 1
    return [
        Answers(
            chat.id,
            chat.prompt,
            tuple(
                answer_of(completion, chat_format)
                for completion in completions[place * each : (place + 1) * each]
            ),
            chat.group,
            chat.kind,
            chat.truth,
        )
        for place, chat in enumerate(chunk)
    ]


def answer_of(completion: Completion, chat_format: ChatFormat) -> Answer:
    """A completion as an answer: its text, whether it stopped by itself, what it cost.

    It stopped where it sampled the end of an answer. One that strayed to the end of a document did
    not: whoever renders it would append an end that was never sampled.
    """
    return Answer(
        content=chat_format.text(completion.tokens),
        stopped=completion.finish == "stop" and completion.tokens[-1] == chat_format.end_id,
        log_probability=float(sum(completion.log_probabilities)),
        tokens=len(completion.tokens),
    )


def fitting(
    prompts: Sequence[Chat], chat_format: ChatFormat, context: int
) -> tuple[list[Chat], list[dict[str, str]]]:
    """The prompts that leave room for an answer, and the others as rejects."""
    kept: list[Chat] = []
    rejects: list[dict[str, str]] = []
    for chat in prompts:
        length = len(chat_format.prompt(chat.prompt))
        if length < context:
            kept.append(chat)
        else:
            reason = f"a prompt of {length} tokens leaves no room in a context of {context}"
            sample = chat.prompt[-1].content[:200]
            rejects.append({"where": chat.id, "reason": reason, "sample": sample})
    return kept, rejects


def chunks(prompts: Sequence[Chat]) -> Iterator[Sequence[Chat]]:
    """Runs of prompts that are sampled, and written down, together."""
    for start in range(0, len(prompts), CHUNK_PROMPTS):
        yield prompts[start : start + CHUNK_PROMPTS]


def sampled_figures(sampled: Sequence[Answers]) -> dict[str, Figure]:
    """How the drawn answers look.

    stops: the share that stopped; stops.greedy: of the baselines. distinct: different texts among
    a prompt's draws, as a share. tokens: mean length, with the end.
    """
    drawn = [answer for one in sampled for answer in one.answers[1:]]
    greedy = [one.answers[0] for one in sampled]
    different = sum(len({answer.content for answer in one.answers[1:]}) for one in sampled)
    return {
        "stops": proportion(sum(answer.stopped for answer in drawn), len(drawn)),
        "stops.greedy": proportion(sum(answer.stopped for answer in greedy), len(greedy)),
        "distinct": proportion(different, len(drawn)),
        "tokens": t_mean([float(answer.tokens or 0) for answer in drawn]),
        "tokens.greedy": t_mean([float(answer.tokens or 0) for answer in greedy]),
    }
