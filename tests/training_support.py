"""Small runs for the tests of training: a model that takes milliseconds, pairs, fake processes."""

import threading

import numpy as np
from model_support import END, small_pair, words

from minibert2bert.training.events import Started
from minibert2bert.training.loop import train
from minibert2bert.training.settings import TrainingSettings

ONE_LAYER = {"num_hidden_layers": 1}
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
FAST = {"learning_rate": 0.01, "max_steps": 6, "train_batch_size": 8}


def tiny_model(seed=0, tied=False, dtype="float64", **changes):
    return small_pair(seed, dtype, both={**ONE_LAYER, **changes}, tie_encoder_decoder=tied)


def random_pairs(count, seed=0):
    """Sources of 1 to 6 words, and labels of up to 5 with the end token."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 7, (count, 2))
    return [(words(rng, a).tolist(), [*words(rng, b - 1).tolist(), END]) for a, b in lengths]


def copied_pairs(count, seed=0):
    """Targets that are their sources: what a model learns by looking at the source alone."""
    return [(source, [*source, END]) for source, _ in random_pairs(count, seed)]


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def run(model, pairs, changes=None, **arguments):
    """Train, and return the events but for the first, which says how long the run will be."""
    events = []
    settings = TrainingSettings(**{**FAST, **(changes or {})})
    train(model, pairs, settings, callbacks=[events.append], **arguments)
    assert not events or type(events[0]) is Started
    return events[1:]


def of_kind(events, kind):
    return [event for event in events if type(event) is kind]


class Meeting:
    """Where threads that stand for processes hand each other their arrays."""

    def __init__(self, size):
        self.size, self.barrier = size, threading.Barrier(size, timeout=60)
        self.brought = [None] * size

    def exchange(self, rank, thing):
        self.brought[rank] = thing
        self.barrier.wait()
        found = list(self.brought)
        self.barrier.wait()
        return found


class Threads:
    """One of several processes that share a meeting."""

    def __init__(self, rank, meeting):
        self.rank, self.size, self.meeting = rank, meeting.size, meeting

    def sum_arrays(self, arrays):
        first, *others = self.meeting.exchange(self.rank, dict(arrays))
        assert all(list(other) == list(first) for other in others)
        return {name: sum((other[name] for other in others), first[name]) for name in first}

    def sum_numbers(self, numbers):
        brought = self.meeting.exchange(self.rank, list(numbers))
        return [sum(column) for column in zip(*brought, strict=True)]

    def broadcast(self, value):
        return self.meeting.exchange(self.rank, value)[0]

    def abort(self, error):
        self.meeting.barrier.abort()


def on_processes(size, work):
    """Call work(processes) once for each rank, at the same time, and return the results."""
    meeting, results, errors = Meeting(size), [None] * size, []

    def call(rank):
        try:
            results[rank] = work(Threads(rank, meeting))
        except threading.BrokenBarrierError:
            pass  # Another one failed, and says why.
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=call, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
