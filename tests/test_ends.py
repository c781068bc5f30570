"""The two criteria that every search has: its longest length, and the tokens that end a row."""

import numpy as np
import pytest

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.settings import resolve
from minibert2bert.generation.stopping import ends_with, has_length, is_finished, stopping_criteria


def test_a_row_is_finished_by_its_length_or_by_one_of_the_eos_ids():
    ids = np.array([[1, 0, 2], [2, 1, 0], [0, 0, 3]])
    assert has_length(ids, None, 3).tolist() == [True] * 3
    assert has_length(ids, None, 4).tolist() == [False] * 3
    assert ends_with(ids, None, (2, 3)).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("eos", "max_length", "finished"),
    [(2, 4, [True, False]), (None, 4, [False, False]), (None, 3, [True, True])],
)
def test_the_settings_decide_what_finishes_a_row(eos, max_length, finished):
    settings = resolve(GenerationConfig(eos_token_id=eos, max_length=max_length), 1)
    ids = np.array([[1, 0, 2], [2, 1, 0]])
    assert is_finished(stopping_criteria(settings), ids).tolist() == finished
