"""Every processor, here and in transformers 5; on other ids and scores every time."""

import numpy as np
import pytest
from parity_support import quietly
from processor_reference import (
    THRESHOLDS,
    allow,
    assert_agreement,
    draw_words,
    spread_words,
    tensor,
)
from processor_support import ROWS, V, assert_same_scores, draw_ids, draw_scores

from minibert2bert.generation import (
    allowed_tokens,
    distributions,
    entropy_filters,
    lengths,
    repetition,
    sampling_filters,
    word_lists,
)

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("quiet_transformers")]

DRAWS = 60
PROMPT = 2


def sequence_bias(rng, source):
    biases = draw_words(rng, [-3.5, 1.25, -np.inf])
    ours = word_lists.sequence_bias, word_lists.biased_words(spread_words(biases))
    return "SequenceBias", [biases], ours


def bad_words(rng, source):
    words = [list(word) for word in draw_words(rng, [0.0])] + [[1], [2, 1]]
    eos = [[1], [1, 3]][rng.integers(2)]
    return (
        "NoBadWords",
        [words, eos],
        (word_lists.bad_words, word_lists.forbidden_words(words, eos)),
    )


def repetition_penalty(rng, source):
    penalty = float(rng.uniform(0.5, 2))
    return "RepetitionPenalty", [penalty], (repetition.repetition_penalty, penalty)


def encoder_repetition_penalty(rng, source):
    penalty = float(rng.uniform(0.5, 2))
    ours = repetition.encoder_repetition_penalty, penalty, np.repeat(source, 2, axis=0)
    return "EncoderRepetitionPenalty", [penalty, source], ours


def no_repeat_ngram(rng, source):
    size = int(rng.integers(1, 4))
    return "NoRepeatNGram", [size], (repetition.no_repeat_ngram, size)


def encoder_no_repeat_ngram(rng, source):
    size = int(rng.integers(1, 4))
    ours = repetition.encoder_no_repeat_ngram, size, np.repeat(source, 2, axis=0)
    return "EncoderNoRepeatNGram", [size, source], ours


def min_length(rng, source):
    length = int(rng.integers(1, 9))
    return "MinLength", [length, [1, 3]], (lengths.min_length, length, (1, 3))


def min_new_tokens(rng, source):
    count = int(rng.integers(1, 7))
    ours = lengths.min_new_tokens, count, PROMPT, (1, 3)
    return "MinNewTokensLength", [PROMPT, count, [1, 3]], ours


def exponential_decay(rng, source):
    decay = int(rng.integers(0, 4)), float(rng.uniform(0.8, 1.6))
    return "ExponentialDecayLengthPenalty", [decay, [1, 3], PROMPT], (
        lengths.exponential_decay, decay, PROMPT, (1, 3),
    )  # fmt: skip


def prefix_allowed(rng, source):
    return "PrefixConstrained", [allow, 2], (allowed_tokens.prefix_allowed, allow, 2)


def forced_bos(rng, source):
    return "ForcedBOSToken", [3], (allowed_tokens.forced_bos, (3,))


def forced_eos(rng, source):
    length = int(rng.integers(2, 8))
    return "ForcedEOSToken", [length, [1, 3]], (allowed_tokens.forced_eos, (1, 3), length)


def suppress_tokens(rng, source):
    tokens = rng.integers(0, V + 4, 3).tolist()
    return "SuppressTokens", [tokens], (allowed_tokens.suppress_tokens, tokens)


def begin_suppress_tokens(rng, source):
    tokens, begin = rng.integers(0, V, 3).tolist(), int(rng.integers(1, 6))
    ours = allowed_tokens.begin_suppress_tokens, tokens, begin
    return "SuppressTokensAtBegin", [tokens, begin], ours


def renormalize(rng, source):
    return "LogitNormalization", [], (distributions.renormalize,)


def temperature(rng, source):
    divisor = float(rng.uniform(0.2, 3))
    return "Temperature", [divisor], (sampling_filters.temperature, divisor)


def top_h(rng, source):
    share = float(rng.uniform(0.05, 0.99))
    return "TopH", [share], (entropy_filters.top_h, share)


def top_k(rng, source):
    count, keep = int(rng.integers(1, V + 4)), int(rng.integers(1, 4))
    ours = sampling_filters.top_k, count, keep
    return "TopK", {"top_k": count, "min_tokens_to_keep": keep}, ours


def share_filter(name, option, function, low, high):
    """Make a case of a filter that takes a share between low and high."""

    def case(rng, source):
        share, keep = float(np.exp(rng.uniform(*np.log([low, high])))), int(rng.integers(1, 4))
        return name, {option: share, "min_tokens_to_keep": keep}, (function, share, keep)

    return case


CASES = {
    **{
        case.__name__: case
        for case in (
            *(sequence_bias, bad_words, repetition_penalty, encoder_repetition_penalty),
            *(no_repeat_ngram, encoder_no_repeat_ngram, min_length, min_new_tokens),
            *(exponential_decay, prefix_allowed, forced_bos, forced_eos, suppress_tokens),
            *(begin_suppress_tokens, renormalize, temperature, top_h, top_k),
        )
    },
    "top_p": share_filter("TopP", "top_p", sampling_filters.top_p, 0.05, 0.99),
    "min_p": share_filter("MinP", "min_p", sampling_filters.min_p, 0.01, 1),
    "typical_p": share_filter("Typical", "mass", entropy_filters.typical_p, 0.05, 0.99),
    "epsilon_cutoff": share_filter(
        "Epsilon", "epsilon", sampling_filters.epsilon_cutoff, 0.001, 0.5
    ),
    "eta_cutoff": share_filter("Eta", "epsilon", entropy_filters.eta_cutoff, 0.001, 0.9),
}


def reference_class(name):
    import transformers
    from transformers.generation import logits_process

    names = (f"{name}LogitsProcessor", f"{name}LogitsWarper", name)
    found = [getattr(logits_process, n, None) or getattr(transformers, n, None) for n in names]
    return next(cls for cls in found if cls is not None)


def reference(name, arguments):
    arguments = arguments if isinstance(arguments, dict) else dict(enumerate(arguments))
    values = {key: tensor(value) for key, value in arguments.items()}
    positional = [value for key, value in values.items() if isinstance(key, int)]
    keywords = {key: value for key, value in values.items() if not isinstance(key, int)}
    return reference_class(name)(*positional, **keywords)


@pytest.mark.parametrize("case", CASES)
def test_a_processor_does_what_that_of_the_reference_does(rng, case):
    for _ in range(DRAWS):
        ids, scores = draw_ids(rng, int(rng.integers(1, 9))), draw_scores(rng)
        source = draw_ids(rng, 5, ROWS // 2)
        name, arguments, (function, *values) = CASES[case](rng, source)
        theirs = quietly(reference(name, arguments), tensor(ids), tensor(scores)).numpy()

        def ours(nudge, function=function, values=values, ids=ids, scores=scores):
            shares = [
                v * nudge if case in THRESHOLDS and isinstance(v, float) else v for v in values
            ]
            return function(ids, scores, *shares)

        assert_agreement(ours, theirs, f"{arguments}")


TIES = {
    "top_k": ("TopK", "top_k", (3, 3), sampling_filters.top_k),
    "top_p": ("TopP", "top_p", (0.5, 0.537), sampling_filters.top_p),
    "min_p": ("MinP", "min_p", (1.0, 1.0), sampling_filters.min_p),
    "typical_p": ("Typical", "mass", (0.5, 0.537), entropy_filters.typical_p),
    "epsilon_cutoff": ("Epsilon", "epsilon", (0.125, 0.1337), sampling_filters.epsilon_cutoff),
    "eta_cutoff": ("Eta", "epsilon", (0.125, 0.1337), entropy_filters.eta_cutoff),
}
"""Thresholds that eight equal tokens meet exactly, and thresholds that others do not meet."""


@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("case", TIES)
def test_equal_scores_are_treated_as_in_the_reference(rng, case, equal, keep):
    name, option, (exact, other), function = TIES[case]
    share = exact if equal else other
    theirs = reference(name, {option: share, "min_tokens_to_keep": keep})
    for _ in range(DRAWS):
        scores = np.zeros((ROWS, 8)) if equal else np.log(1 + rng.integers(0, 2, (ROWS, 8)))
        scores = scores.astype(np.float32)
        is_best = scores == scores.max(axis=1, keepdims=True)
        if case == "min_p" and is_best.sum(axis=1).min() < keep:
            # Of equals in the last place to keep, the reference keeps any.
            continue
        expected = theirs(None, tensor(scores)).numpy()
        np.testing.assert_array_equal(function(None, scores, share, keep), expected)


def test_invalid_values_become_the_numbers_of_the_reference():
    scores = np.array([[np.nan, np.inf, -np.inf, 1.5, -2.0]], dtype=np.float32)
    theirs = reference("InfNanRemove", [])(None, tensor(scores)).numpy()
    np.testing.assert_array_equal(distributions.remove_invalid_values(None, scores), theirs)


def test_when_nothing_allowed_is_left_the_rule_wins_as_in_the_reference(rng):
    ids, scores = draw_ids(rng, 4), draw_scores(rng)
    for row in (0, 1, 2):
        scores[row, allow(row // 2, ids[row])] = -np.inf
    theirs = reference("PrefixConstrained", [allow, 2])(tensor(ids), tensor(scores)).numpy()
    ours = allowed_tokens.prefix_allowed(ids, scores, allow, 2)
    assert_same_scores(ours, theirs)
    assert sorted(ours[0])[-1] == 0
    assert np.isneginf(ours[2]).all()
