"""A record of a beam search: every candidate it looked at, and what became of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.generation.hypotheses import Hypotheses
from minibert2bert.generation.settings import GenerationSettings
from minibert2bert.recording import record

KEPT, FINISHED, DROPPED = "kept", "finished", "dropped"


@dataclass(frozen=True)
class Candidate:
    """A running sequence with one more token, as a step of the search saw it.

    Attributes:
        step: 0 for the first generated token
        input: the row of the batch
        group: the group of beams it competed in; 0 without groups
        rank: among the candidates of its input and group, 0 for the best
        parent: the beam it continues, as numbered before the step
        beam: the beam it became; None unless it was kept.
        token: the newest id
        log_prob: of that token, after the processors
        score: the sum of the log-probabilities of all tokens
        final_score: the score over the length penalty; None unless it has ended.
        fate: "kept", "finished" or "dropped"
        reason: why
    """

    step: int
    input: int
    group: int
    rank: int
    parent: int
    beam: int | None
    token: int
    log_prob: float
    score: float
    final_score: float | None
    fate: str
    reason: str


@dataclass(frozen=True)
class SearchRecord:
    """The tree that a beam search grew, in the order of step, input, group and rank.

    Attributes:
        candidates: all of them
    """

    candidates: tuple[Candidate, ...]

    def of(self, index: int, fate: str | None = None) -> tuple[Candidate, ...]:
        """Select the candidates of one input of the batch, of all fates or of one."""
        return tuple(c for c in self.candidates if c.input == index and fate in (None, c.fate))


def record_step(
    candidates: Hypotheses,
    ends: Array,
    final_scores: Array,
    after: Any,
    done: Array,
    settings: GenerationSettings,
    group: int = 0,
    has_words: Array | None = None,
) -> None:
    """Tell an open recording what a step has looked at; without one, do nothing.

    Args:
        candidates: of each input, in the order of their ranks
        ends: bool (B, width), which of them have ended
        final_scores: (B, width), of those that compete for the pool, -inf for the others
        after: the state after the step: running and finished
        done: bool (B,), the inputs that were done before the step
        settings: num_beams
        group: of beams
        has_words: bool (B, width), which of them have all forced words; None if none are forced.
    """
    step = candidates.log_probs.shape[2] - 1
    arrays = {
        "parent": candidates.beam_indices[:, :, -1] % settings.num_beams,
        "token": candidates.ids[:, :, -1],
        "log_prob": candidates.log_probs[:, :, -1],
        "score": candidates.scores,
        "ends": ends,
        "has_words": np.ones_like(ends) if has_words is None else has_words,
        "final_score": final_scores,
        "kept_parent": after.running.beam_indices[:, :, -1] % settings.num_beams,
        "kept_token": after.running.ids[:, :, -1],
        "pool": after.finished.scores,
        "done": done,
    }
    for name, array in arrays.items():
        record(f"search.{step}.{group}.{name}", array)


def search_record(arrays: Mapping[str, Array]) -> SearchRecord:
    """Sort what record_step has told a recording into candidates and their fates."""
    steps: dict[tuple[int, int], dict[str, Array]] = {}
    for name, array in arrays.items():
        if name.startswith("search."):
            _, step, group, part = name.split(".")
            steps.setdefault((int(step), int(group)), {})[part] = array
    found = [
        candidate
        for (step, group), parts in steps.items()
        for index in np.flatnonzero(~parts["done"])
        for candidate in _candidates(step, int(index), group, parts)
    ]
    return SearchRecord(tuple(sorted(found, key=lambda c: (c.step, c.input, c.group, c.rank))))


def _candidates(
    step: int, index: int, group: int, parts: Mapping[str, Array]
) -> Iterator[Candidate]:
    """List the candidates of one input in one step; empty places, of score -inf, are none."""
    row = {name: array[index].tolist() for name, array in parts.items() if name != "done"}
    kept = zip(row["kept_parent"], row["kept_token"], strict=True)
    beams = {pair: beam for beam, pair in enumerate(kept)}
    worst_of_pool = min(row["pool"])
    columns = ("parent", "token", "log_prob", "score", "ends", "has_words", "final_score")
    for rank, values in enumerate(zip(*(row[name] for name in columns), strict=True)):
        parent, token, log_prob, score, ended, has_words, final_score = values
        if score == -np.inf:
            continue
        beam = None if ended else beams.get((parent, token))
        fate, reason = _fate(ended, beam, has_words, final_score, worst_of_pool)
        final = final_score if ended and final_score > -np.inf else None
        yield Candidate(
            step, index, group, rank, parent, beam, token, log_prob, score, final, fate, reason
        )


def _fate(
    ended: bool, beam: int | None, has_words: bool, final_score: float, worst_of_pool: float
) -> tuple[str, str]:
    if not ended and beam is None:
        return DROPPED, "enough better ones go on"
    if not ended:
        return KEPT, "among the best that go on"
    if final_score == -np.inf and not has_words:
        return DROPPED, "it ended, but without all of its forced words"
    if final_score == -np.inf:
        return DROPPED, "it ended, but too many candidates were better"
    if final_score < worst_of_pool:
        return DROPPED, "it ended, but the pool is full of better ones"
    return FINISHED, "it ended, among the best so far"
