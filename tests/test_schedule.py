"""Schedules by their formulas, and against transformers."""

import math

import numpy as np
import pytest

from minibert2bert.training.schedule import (
    SCHEDULES,
    constant_schedule,
    inverse_sqrt_schedule,
    linear_schedule,
    make_schedule,
)


def test_the_linear_schedule_rises_from_zero_to_one_and_falls_to_the_final_share():
    factors = [linear_schedule(step, 4, 12, final_share=0.2) for step in range(14)]
    np.testing.assert_allclose(factors[:5], [0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(np.diff(factors[4:13]), -0.1)
    assert factors[12:] == [pytest.approx(0.2)] * 2


def test_without_a_warm_up_the_linear_schedule_begins_at_the_top():
    assert [linear_schedule(step, 0, 4) for step in range(6)] == [1, 0.75, 0.5, 0.25, 0, 0]


def test_the_inverse_root_is_one_at_the_end_of_the_warm_up_and_half_at_four_times_that():
    assert [inverse_sqrt_schedule(step, 100) for step in (0, 50, 100, 400)] == [0, 0.5, 1, 0.5]


def test_without_a_warm_up_the_inverse_root_has_a_time_scale_of_ten_thousand():
    assert inverse_sqrt_schedule(0, 0) == 1
    assert inverse_sqrt_schedule(30_000, 0) == pytest.approx(0.5)


def test_the_constant_schedule_rises_and_stays():
    assert [constant_schedule(step, 2) for step in range(4)] == [0, 0.5, 1, 1]
    assert make_schedule("constant", 2, 4)(0) == 1
    assert make_schedule("constant_with_warmup", 2, 4)(0) == 0


def test_an_unknown_schedule_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"one of linear, inverse_sqrt, .*got 'cosine'"):
        make_schedule("cosine", 0, 1)


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_final_share_is_for_the_linear_schedule_alone(kind, warmup):
    plain, shared = make_schedule(kind, warmup, 20), make_schedule(kind, warmup, 20, 0.5)
    assert (plain(19) != shared(19)) == (kind == "linear")


@pytest.mark.parity
@pytest.mark.parametrize("warmup", [0, 1, 7, 25])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_schedule_is_that_of_transformers(kind, warmup):
    import torch
    from transformers import get_scheduler

    total = 20
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = get_scheduler(kind, optimizer, warmup, total)
    ours = make_schedule(kind, warmup, total)
    for step in range(total + 5):
        # Two orders of the same few operations.
        assert math.isclose(ours(step), reference.get_last_lr()[0], rel_tol=1e-15), step
        optimizer.step()
        reference.step()
