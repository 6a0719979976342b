"""Supervised fine-tuning: from chats to packed windows in which only answers carry loss.

    chats -> rows (ids and mask of one chat) -> windows (several rows side by side) -> batches

The mask comes from the rendered ids themselves. Rows are packed first-fit decreasing (Johnson
1974); each is a segment of its own, so that it sees itself alone and its positions begin at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.align.chats import Chat
from gristmill.core.errors import GristmillError
from gristmill.core.seeds import derive_seed
from gristmill.tokenizer.chat import ChatFormat, Message, check_messages, latest_turns
from gristmill.train.interfaces import Batch, Loss, Models, Moment, State, View
from gristmill.train.objectives import NextToken
from gristmill.train.permutation import permute


@dataclass(frozen=True)
class Row:
    """One chat. mask[i]: whether ids[i] is learnt: an answer's content, or the id that ends it."""

    ids: list[int]
    mask: list[bool]

    @property
    def length(self) -> int:
        """Places in a window: the last id is only predicted."""
        return len(self.ids) - 1


@dataclass
class Rows:
    """Chats as rows; what was cut to fit (a count), and what could not be used, with the reason."""

    rows: list[Row] = field(default_factory=list)
    cut: int = 0
    rejects: list[dict[str, str]] = field(default_factory=list)


def make_rows(chats: Iterable[Chat], chat_format: ChatFormat, context: int) -> Rows:
    """The rows of chats from a file; one that cannot be learnt from is among the rejects."""
    found = Rows()
    for chat in chats:
        try:
            row, cut = make_row(chat.messages, chat_format, context)
        except GristmillError as error:
            sample = chat.messages[-1].content[:200] if chat.messages else ""
            found.rejects.append({"where": chat.id, "reason": error.what, "sample": sample})
            continue
        found.rows.append(row)
        found.cut += cut
    return found


def make_row(
    messages: Sequence[Message], chat_format: ChatFormat, context: int
) -> tuple[Row, bool]:
    """The row of one chat that fits `context`, and whether turns were cut from its front.

    What follows the last answer is left out. A turn begins with what a user says; the system
    message stays. Raises GristmillError where there is no answer, an answer is empty, or the last
    turn alone is too long.
    """
    check_messages(messages)
    answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        raise GristmillError("a chat without an answer", mend="its role is 'assistant'")
    if not all(messages[i].content.strip() for i in answers):
        raise GristmillError("a chat with an empty answer")
    messages = messages[: answers[-1] + 1]
    kept = latest_turns(messages, lambda m: len(chat_format.render(m).ids) - 1 <= context)
    if kept is None:
        raise GristmillError(f"its last turn is longer than the context of {context} tokens")
    rendered = chat_format.render(kept)
    return Row(rendered.ids, rendered.mask), len(kept) < len(messages)


@dataclass(frozen=True)
class Windows:
    """Packed rows: N windows of T places. Row r of a window has segment id r, padding the last.

    mask_NT is 1 where the target carries loss.
    """

    tokens_NT: NDArray[np.int64]
    targets_NT: NDArray[np.int64]
    mask_NT: NDArray[np.float32]
    segments_NT: NDArray[np.int64]
    filled_N: NDArray[np.int64]
    """Places of each window that hold rows; the rest is padding."""

    def __len__(self) -> int:
        return len(self.tokens_NT)

    @property
    def filled(self) -> float:
        """Share of all places that hold rows."""
        return float(self.filled_N.sum()) / self.tokens_NT.size

    def tensors(self, windows: NDArray[np.int64] | slice) -> dict[str, Tensor]:
        """Those windows, as NextToken wants them."""
        return {
            "tokens_BT": torch.from_numpy(self.tokens_NT[windows]),
            "targets_BT": torch.from_numpy(self.targets_NT[windows]),
            "mask_BT": torch.from_numpy(self.mask_NT[windows]),
            "segments_BT": torch.from_numpy(self.segments_NT[windows]),
        }


def pack(rows: Sequence[Row], context: int, *, pad_id: int, end_id: int) -> Windows:
    """Rows into windows of `context` places, each into the first that has room, longest first.

    Raises GristmillError where padding is the id that ends an answer, and where there is no row or
    one does not fit.
    """
    _check_padding(pad_id, end_id)
    if not rows:
        raise GristmillError("no chat to learn from", mend="give chats that end with an answer")
    order = sorted(range(len(rows)), key=lambda i: (-rows[i].length, i))
    if rows[order[0]].length > context:
        raise GristmillError(f"a row of {rows[order[0]].length} tokens in windows of {context}")
    places = _first_fit([rows[i].length for i in order], context)
    count = 1 + max(window for window, _, _ in places)
    tokens_NT = np.full((count, context), pad_id, dtype=np.int64)
    targets_NT = tokens_NT.copy()
    mask_NT = np.zeros((count, context), dtype=np.float32)
    rows_N = np.bincount([window for window, _, _ in places], minlength=count)
    segments_NT = np.repeat(rows_N[:, None], context, axis=1)
    filled_N = np.zeros(count, dtype=np.int64)
    for index, (window, start, segment) in zip(order, places, strict=True):
        row = rows[index]
        part = slice(start, start + row.length)
        tokens_NT[window, part] = row.ids[:-1]
        targets_NT[window, part] = row.ids[1:]
        mask_NT[window, part] = row.mask[1:]
        segments_NT[window, part] = segment
        filled_N[window] += row.length
    return Windows(tokens_NT, targets_NT, mask_NT, segments_NT, filled_N)


def _first_fit(lengths: Sequence[int], context: int) -> list[tuple[int, int, int]]:
    """For each length, in order: the first window with room, where in it, and its number there.

    A tree over the windows holds the most room in each half, so that the first fitting one is
    found in log N steps however many windows there are.
    """
    leaves = 1 << max(0, len(lengths) - 1).bit_length()
    room = [context] * (2 * leaves)
    inside = [0] * leaves
    found = []
    for length in lengths:
        node = 1
        while node < leaves:
            node *= 2
            node += room[node] < length
        window = node - leaves
        found.append((window, context - room[node], inside[window]))
        inside[window] += 1
        room[node] -= length
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
    return found


class SftSource:
    """Batches of packed windows, epoch after epoch, each in its own seeded order.

    Its state is the number of windows drawn. A batch holds tokens_BT, targets_BT, mask_BT and
    segments_BT; `Batch.tokens` counts what is not padding.
    """

    def __init__(self, windows: Windows, *, batch: int, seed: int):
        self.windows, self._batch, self._seed = windows, batch, seed
        self._drawn = 0

    def steps_for(self, epochs: float) -> int:
        """Steps in which every window is drawn `epochs` times; at least one."""
        return max(1, -int(-(epochs * len(self.windows)) // self._batch))

    def next(self, moment: Moment) -> Batch:
        """The rows of this process of the next global batch."""
        chosen_B = np.array(
            [self._window(self._drawn + row) for row in moment.share.rows(self._batch)],
            dtype=np.int64,
        )
        self._drawn += self._batch
        info = {"windows": self._drawn, "epoch": (self._drawn - 1) // len(self.windows)}
        tensors = self.windows.tensors(chosen_B)
        return Batch(tensors, tokens=int(self.windows.filled_N[chosen_B].sum()), info=info)

    def state(self) -> State:
        """The number of windows drawn."""
        return State({"windows": self._drawn})

    def restore(self, state: State) -> None:
        """Goes on after that many windows."""
        self._drawn = int(state.json["windows"])

    def _window(self, sample: int) -> int:
        epoch, index = divmod(sample, len(self.windows))
        seed = derive_seed(self._seed, "epoch", epoch)
        return int(permute(np.array([index]), len(self.windows), seed)[0])


@dataclass
class AnswerLoss:
    """A probe: the mean loss of held-out answers, in nats a token."""

    windows: Windows
    every: int = 0
    batch: int = 8
    name: str = "heldout"

    def __call__(self, view: View) -> Mapping[str, Any]:
        """`loss`, over all answer tokens of the windows."""
        device = next(view.models["policy"].parameters()).device
        nats = count = 0.0
        for start in range(0, len(self.windows), self.batch):
            tensors = self.windows.tensors(slice(start, start + self.batch))
            moved = {name: tensor.to(device) for name, tensor in tensors.items()}
            found = NextToken()(moved, view.models)
            nats, count = nats + float(found.total.detach()), count + float(found.count)
        return {"loss": nats / count}


@dataclass(frozen=True)
class AnswersCarryLoss:
    """The first token of each answer carries loss, and none of its header or prompt does."""

    answer_header: Sequence[int]
    name: str = "the first token of each answer carries loss, and nothing before it"

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        """Where loss begins without a header before it, or a header without loss after it."""
        tokens_BT, learnt_BT = tensors["tokens_BT"].cpu(), tensors["mask_BT"].cpu() > 0
        if not learnt_BT.any():
            return "no token carries loss"
        begins_BT = learnt_BT & ~_shifted(learnt_BT, 1)
        header_BT = torch.ones_like(learnt_BT)
        for back, token in enumerate(reversed(self.answer_header)):
            header_BT &= _shifted(tokens_BT == token, back)
        if wrong := int((header_BT & ~learnt_BT).sum()):
            return f"{wrong} of {int(header_BT.sum())} answers begin without loss"
        if wrong := int((begins_BT & ~header_BT).sum()):
            return f"loss begins {wrong} times where no answer begins"
        return None


@dataclass(frozen=True)
class EndsCarryLoss:
    """The end of each answer carries loss, or the model never learns to stop."""

    end_id: int
    name: str = "the end of each answer carries loss"

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        """How many stretches of loss do not end with the end."""
        learnt_BT = tensors["mask_BT"].cpu() > 0
        last_BT = learnt_BT & ~_shifted(learnt_BT, -1)
        wrong_BT = last_BT & (tensors["targets_BT"].cpu() != self.end_id)
        if wrong := int(wrong_BT.sum()):
            return f"{wrong} of {int(last_BT.sum())} answers do not end with id {self.end_id}"
        return None if learnt_BT.any() else "no token carries loss"


@dataclass(frozen=True)
class PaddingDiffers:
    """Padding is not the end and carries no loss."""

    pad_id: int
    end_id: int
    name: str = "padding differs from the end"

    def __call__(self, tensors: Mapping[str, Tensor], loss: Loss, models: Models) -> str | None:
        """What is wrong about the padding."""
        if self.pad_id == self.end_id:
            return f"both are id {self.pad_id}"
        padding_BT = tensors["targets_BT"] == self.pad_id
        learnt = int((padding_BT & (tensors["mask_BT"] > 0)).sum())
        return f"{learnt} places of padding carry loss" if learnt else None


def _shifted(values_BT: Tensor, places: int) -> Tensor:
    """values[t - places] at t, False where that is outside."""
    shifted_BT = torch.zeros_like(values_BT)
    length = values_BT.shape[1]
    if places >= 0:
        shifted_BT[:, places:] = values_BT[:, : length - places]
    else:
        shifted_BT[:, :places] = values_BT[:, -places:]
    return shifted_BT


def _check_padding(pad_id: int, end_id: int) -> None:
    if pad_id == end_id:
        raise GristmillError(
            f"padding and the end of an answer are both id {pad_id}",
            mend="pad with another token, or the model unlearns to stop",
        )
