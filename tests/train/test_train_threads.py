"""A narrow LSTM is trained on one thread, and the machine gets its threads back."""

import pytest
import torch

from gristmill.train.threads import cpu_threads, threads_for_lstm


def test_threads_come_back() -> None:
    before = torch.get_num_threads()
    with cpu_threads(None):
        assert torch.get_num_threads() == before
    with pytest.raises(ValueError), cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ValueError
    assert torch.get_num_threads() == before


def test_narrow_lstms_alone_are_kept_to_one() -> None:
    assert threads_for_lstm(64) == 1
    assert threads_for_lstm(1024) is None
