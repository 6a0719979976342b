"""A generator whose answers outlive a kill: each round is written down before the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from gristmill.core.canonical import hash_json
from gristmill.core.progress import Progress, Silent
from gristmill.core.run import Run
from gristmill.infer.text import TextAnswer, TextGenerator, TextRequest

JOURNAL = "answers.jsonl"


class KeptAnswers:
    """A `TextGenerator` over another, which is asked in rounds of `at_once` requests.

    The rounds are the same in every attempt, so that a model here gives the same answers after a
    kill. (An `infer.endpoint.Endpoint` needs none of this: it writes down each answer itself.)
    """

    def __init__(self, generator: TextGenerator, run: Run, at_once: int):
        self.generator, self.run, self.at_once = generator, run, at_once
        self._known: dict[str, TextAnswer] = {}
        for record in run.read(JOURNAL):
            for key, answer in record["answers"].items():
                self._known[key] = TextAnswer(**answer)

    def answer(
        self, requests: Sequence[TextRequest], progress: Progress | None = None
    ) -> list[TextAnswer]:
        """The answers; what an earlier attempt wrote down is not asked again."""
        progress = progress or Silent()
        keys = [hash_json(asdict(request))[:32] for request in requests]
        for start in range(0, len(keys), self.at_once):
            these = keys[start : start + self.at_once]
            if all(key in self._known for key in these):
                progress.advance(len(these))
                continue
            asked = requests[start : start + self.at_once]
            found = dict(zip(these, self.generator.answer(asked, progress), strict=True))
            self.run.append(JOURNAL, {"answers": {k: asdict(one) for k, one in found.items()}})
            self._known.update(found)
        return [self._known[key] for key in keys]
