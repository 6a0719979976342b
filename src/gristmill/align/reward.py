"""The reward model: one number for a conversation, learned from preferences.

    bradley_terry   P(chosen beats rejected) = sigmoid(score - score) (Ouyang et al. 2022, eq. 1)
    direct          P(an answer beats the baseline answer) = sigmoid(score)

It is read at the last token of the conversation. After the training the scores of reference
conversations get mean 0 and deviation 1 (Ziegler et al. 2019, section 2.1), for what is added to a
reward (a KL penalty) has to know its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.align.losses import bradley_terry_loss, direct_loss
from gristmill.align.pair_rows import SIDES, Pair, PairOrder, Side, stack
from gristmill.core.canonical import read_json, write_json
from gristmill.core.errors import GristmillError
from gristmill.core.progress import Progress, Silent
from gristmill.model.scalar import ScalarModel, load_scalar, save_scalar
from gristmill.train.interfaces import Batch, Loss, Models, Moment, Objective, Share, State, View

RewardForm = Literal["bradley_terry", "direct"]
REWARD_JSON = "reward.json"
BATCH_TOKENS = 8192


def scores_at(model: torch.nn.Module, tokens_BT: Tensor, last_B: Tensor) -> Tensor:
    """The model's number at each row's last real token, (B,) float32. What follows does not count:
    no token sees it."""
    values_BT: Tensor = model(tokens_BT)
    return values_BT.gather(1, last_B[:, None])[:, 0]


def judged(pairs: Sequence[Pair]) -> list[tuple[Pair, Side, int]]:
    """What `direct` learns from: of each pair with a baseline the other answer, and its label.

    +1 where the other answer was chosen over the baseline answer, -1 where it lost to it.
    """
    found: list[tuple[Pair, Side, int]] = []
    for pair in pairs:
        if pair.baseline is not None:
            won = pair.baseline == "rejected"
            found.append((pair, "chosen" if won else "rejected", 1 if won else -1))
    return found


class PairSource:
    """Batches of pairs; with the form `direct`, of single answers with their labels.

    A batch holds `tokens_PST` and `last_PS` (S = 2: chosen, rejected; or S = 1, `label_P` and
    `weight_P`: both labels weigh the same in all, whatever their shares, or the sign of a score
    would say little but which label is the commoner). Its state is the number of batches drawn.
    Epoch follows epoch, each in its own order.
    """

    def __init__(
        self, pairs: Sequence[Pair], *, batch: int, seed: int, form: RewardForm = "bradley_terry"
    ):
        self._rows: list[list[tuple[int, ...]]] = []
        self._labels: list[int] | None = None
        self._weights: dict[int, float] = {}
        if form == "direct":
            one = judged(pairs)
            if not one:
                raise GristmillError(
                    "no pair says which of its answers is the baseline",
                    mend="use the form bradley_terry, or preferences with 'baseline'",
                )
            self._rows = [[pair.conversation(side)] for pair, side, _ in one]
            self._labels = [label for _, _, label in one]
            shares = Counter(self._labels)
            self._weights = {label: len(one) / (2 * n) for label, n in shares.items()}
        else:
            self._rows = [[pair.conversation(side) for side in SIDES] for pair in pairs]
        lengths = [max(len(ids) for ids in row) for row in self._rows]
        self._order = PairOrder(lengths, batch, seed)
        self._drawn = 0

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return len(self._rows)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self._order.steps_per_epoch

    def next(self, moment: Moment) -> Batch:
        """This process's rows of the next batch."""
        indices = self._order.indices(self._drawn)
        mine = [indices[row] for row in moment.share.rows(len(indices))]
        self._drawn += 1
        tensors = stack([self._rows[i] for i in mine])
        if self._labels is not None:
            labels = [self._labels[i] for i in mine]
            tensors["label_P"] = torch.tensor(labels, dtype=torch.float32)
            tensors["weight_P"] = torch.tensor([self._weights[label] for label in labels])
        tokens = int((tensors["last_PS"] + 1).sum())
        return Batch(tensors, tokens=tokens, info={"batches": self._drawn})

    def state(self) -> State:
        """The number of batches drawn."""
        return State({"batches": self._drawn})

    def restore(self, state: State) -> None:
        """Goes on after that many batches."""
        self._drawn = int(state.json["batches"])


@dataclass(frozen=True)
class BradleyTerry:
    """-log sigmoid(score of the chosen - score of the rejected), summed over pairs."""

    role: str = "reward"

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        """The loss of these pairs, with the accuracy and the mean margin."""
        tokens_PST, last_PS = tensors["tokens_PST"], tensors["last_PS"]
        scores_B = scores_at(models[self.role], tokens_PST.flatten(0, 1), last_PS.flatten())
        chosen_P, rejected_P = scores_B.view(last_PS.shape).unbind(1)
        return _loss(bradley_terry_loss(chosen_P, rejected_P), chosen_P - rejected_P)


@dataclass(frozen=True)
class Direct:
    """-log sigmoid(label * score), weighted: whether an answer beats the baseline answer."""

    role: str = "reward"

    def __call__(self, tensors: Mapping[str, Tensor], models: Models) -> Loss:
        """The loss of these answers, with the accuracy and the mean margin (label * score)."""
        tokens_PST, last_PS, label_P = tensors["tokens_PST"], tensors["last_PS"], tensors["label_P"]
        score_P = scores_at(models[self.role], tokens_PST[:, 0], last_PS[:, 0])
        weight_P = tensors["weight_P"]
        return _loss(direct_loss(score_P, label_P), label_P * score_P, weight_P)


def _loss(loss_P: Tensor, margin_P: Tensor, weight_P: Tensor | None = None) -> Loss:
    weight_P = torch.ones_like(loss_P) if weight_P is None else weight_P
    count = weight_P.sum()
    right = ((margin_P.detach() > 0) * weight_P).sum()
    metrics = {"accuracy": (right, count), "margin": ((margin_P.detach() * weight_P).sum(), count)}
    return Loss((loss_P * weight_P).sum(), count, metrics)


def objective_of(form: RewardForm) -> Objective:
    """What a form minimises."""
    return Direct() if form == "direct" else BradleyTerry()


class HeldoutPairs:
    """A probe: loss and accuracy on pairs that are not trained on, in float32."""

    name = "heldout"

    def __init__(self, pairs: Sequence[Pair], form: RewardForm, *, every: int, batch: int = 32):
        self.every, self._objective = every, objective_of(form)
        usable = [pair for pair, _, _ in judged(pairs)] if form == "direct" else pairs
        self._source = PairSource(usable, batch=batch, seed=0, form=form) if usable else None

    def __call__(self, view: View) -> Mapping[str, Any]:
        """`loss` and `accuracy`; nothing where there is no pair."""
        if self._source is None:
            return {}
        sums = {"loss": 0.0, "accuracy": 0.0, "count": 0.0}
        self._source.restore(State({"batches": 0}))
        device = next(view.models["reward"].parameters()).device
        nothing = Moment(0, 0, Share(), view.models, lambda function: function(view.models))
        for _ in range(self._source.steps_per_epoch):
            tensors = self._source.next(nothing).tensors
            loss = self._objective({n: t.to(device) for n, t in tensors.items()}, view.models)
            sums["loss"] += float(loss.total)
            sums["accuracy"] += float(loss.metrics["accuracy"][0])
            sums["count"] += float(loss.count)
        return {name: sums[name] / sums["count"] for name in ("loss", "accuracy")}


@dataclass(frozen=True)
class Normalisation:
    """What makes the scores of reference conversations mean 0 and deviation 1."""

    mean: float = 0.0
    deviation: float = 1.0
    n: int = 0

    @classmethod
    def fit(cls, scores: NDArray[np.float64]) -> Normalisation:
        """Of raw scores. Raises GristmillError where they do not differ."""
        deviation = float(scores.std()) if len(scores) else 0.0
        if not np.isfinite(deviation) or deviation < 1e-8:
            raise GristmillError(
                f"the reward model gives {len(scores)} reference answers one and the same score",
                mend="train it on more preferences, or with another rate",
            )
        return cls(float(scores.mean()), deviation, len(scores))

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """(score - mean) / deviation."""
        return (scores - self.mean) / self.deviation


class RewardModel:
    """A trained reward model, to score conversations with."""

    def __init__(
        self, model: ScalarModel, form: RewardForm, normalisation: Normalisation | None = None
    ):
        self.model, self.form = model, form
        self.normalisation = normalisation or Normalisation()

    @classmethod
    def load(cls, folder: Path | str, device: torch.device | str = "cpu") -> RewardModel:
        """What `save` wrote. Raises GristmillError for a folder that is no reward model."""
        path = Path(folder) / REWARD_JSON
        try:
            said = read_json(path)
            form = said["form"]
            normalisation = Normalisation(
                float(said["mean"]), float(said["deviation"]), int(said["n"])
            )
            if form not in ("bradley_terry", "direct") or not normalisation.deviation > 0:
                raise ValueError(f"form {form}, deviation {normalisation.deviation}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GristmillError(
                f"no reward model: {error!r}", where=path, mend="give one of train reward"
            ) from error
        return cls(load_scalar(folder, device), form, normalisation)

    def save(
        self,
        folder: Path | str,
        tokenizer_folder: Path | str | None = None,
        *,
        pad_id: int | None = None,
    ) -> None:
        """A folder that `load` and transformers' AutoModelForSequenceClassification read."""
        save_scalar(folder, self.model, tokenizer_folder, pad_id=pad_id)
        write_json(Path(folder) / REWARD_JSON, {"form": self.form, **asdict(self.normalisation)})

    def raw(
        self,
        conversations: Sequence[Sequence[int]],
        *,
        batch_tokens: int = BATCH_TOKENS,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """The model's own number for each conversation (a prompt's ids and an answer's).

        Conversations of like length share a batch of at most `batch_tokens` tokens; equal ones
        are read once. Raises GristmillError for an empty one.
        """
        progress = progress or Silent()
        place: dict[tuple[int, ...], int] = {}
        copy_N = [place.setdefault(tuple(ids), len(place)) for ids in conversations]
        copies = Counter(copy_N)
        different = list(place)
        scores = np.zeros(len(different))
        device = self.model.score.weight.device
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                for batch in _by_length([len(ids) for ids in different], batch_tokens):
                    tensors = stack([[different[i]] for i in batch])
                    tokens_BT = tensors["tokens_PST"][:, 0].to(device)
                    found = scores_at(self.model, tokens_BT, tensors["last_PS"][:, 0].to(device))
                    scores[batch] = found.cpu().numpy()
                    progress.advance(sum(copies[i] for i in batch))
        finally:
            self.model.train(was_training)
        return scores[copy_N]

    def score(
        self,
        conversations: Sequence[Sequence[int]],
        *,
        batch_tokens: int = BATCH_TOKENS,
        progress: Progress | None = None,
    ) -> NDArray[np.float64]:
        """The reward: normalised; with the form `direct` +1 (beats the baseline answer) or -1."""
        scores = self.raw(conversations, batch_tokens=batch_tokens, progress=progress)
        return np.where(scores > 0, 1.0, -1.0) if self.form == "direct" else self.shaped(scores)

    def shaped(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw scores shifted and scaled as those of the reference were."""
        return self.normalisation(raw)


def _by_length(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    if any(length < 1 for length in lengths):
        raise GristmillError("a conversation without a token cannot be scored")
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
