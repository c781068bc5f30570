import threading

import numpy as np
import pytest

from minibert2bert.recording import record, recorded, recording, scope

ONE, TWO = np.ones(1), np.full(1, 2.0)


def layer(index, array):
    with scope("layer"), scope(str(index)):
        record("probs", array)


def test_a_recording_hears_the_very_array_under_its_name():
    with recording() as arrays:
        record("probs", ONE)
    assert arrays["probs"] is ONE


def test_a_name_is_preceded_by_the_open_scopes():
    with recording() as arrays, scope("encoder"):
        layer(0, ONE)
        layer(1, TWO)
        record("states", ONE)
    assert list(arrays) == ["encoder.layer.0.probs", "encoder.layer.1.probs", "encoder.states"]


def test_nothing_is_heard_before_or_after_a_recording():
    record("before", ONE)
    with recording() as arrays:
        pass
    record("after", ONE)
    assert arrays == {}


def test_an_inactive_recording_stays_empty_and_leaves_the_outer_one_open():
    with recording() as outer, recording(active=False) as inner:
        record("probs", ONE)
    assert inner == {}
    assert list(outer) == ["probs"]


def test_a_recording_inside_another_shares_what_it_hears():
    with recording() as outer:
        record("first", ONE)
        with recording() as inner:
            record("second", ONE)
        record("third", ONE)
    assert list(outer) == ["first", "second", "third"]
    assert list(inner) == ["second"]


def test_a_name_that_is_recorded_again_holds_the_last_array():
    with recording() as arrays:
        record("probs", ONE)
        record("probs", TWO)
    assert arrays == {"probs": TWO}


def test_an_error_closes_the_recording_and_its_scopes():
    with pytest.raises(KeyError), recording() as failed, scope("encoder"):
        raise KeyError
    with recording() as arrays:
        record("probs", ONE)
    assert failed == {}
    assert list(arrays) == ["probs"]


def test_another_thread_is_not_heard():
    with recording() as arrays:
        thread = threading.Thread(target=record, args=("probs", ONE))
        thread.start()
        thread.join()
    assert arrays == {}


def test_arrays_are_selected_by_the_start_and_the_end_of_their_names():
    arrays = {
        "encoder.layer.0.self.probs": ONE,
        "encoder.layer.0.cross.probs": np.zeros(1),
        "decoder.layer.0.self.probs": np.zeros(1),
        "encoder.layer.1.self.probs": TWO,
        "encoder.layer.1.self.logprobs": np.zeros(1),
    }
    assert recorded(arrays, "encoder", ".self.probs") == (ONE, TWO)


def test_a_name_without_a_scope_is_selected_by_its_whole():
    assert recorded({"probs": ONE, "logprobs": TWO}, "", ".probs") == (ONE,)
