"""Groups of beams and forced words, here and in version 4 of transformers: other ones every time.

What the two do not share, and so is not drawn here: the processors for the source, which version 4
applies to the wrong rows of a beam search; no_repeat_ngram_size beside forced words, which may
forbid one, and alternatives that begin alike, see constrained_beam_search.py.
"""

import numpy as np
import pytest
from test_search_parity import EVERYTHING, START, ReferenceModel, draw_prompt, trimmed
from test_version_4 import with_version_4

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.strategies import generate_ids

SEARCHES = 60
LATE_IDS = np.arange(6, 17)
"""No end among them."""


def in_float32(model, inputs, output):
    """Round the logits: group search of version 4 copies them to where float32 is."""
    output.logits = output.logits.float()
    return output


def some(rng, values):
    return values[int(rng.integers(len(values)))]


def draw_options(rng, prompt_length):
    options = {
        "eos_token_id": some(rng, [1, [1], [1, 3], [1, 3, 5]]),
        "pad_token_id": some(rng, [None, 0, 4]),
        "decoder_start_token_id": START,
        "max_length": prompt_length + int(rng.integers(1, 14)),
        "min_new_tokens": some(rng, [None, None, 3, 6]),
        "repetition_penalty": some(rng, [None, 0.6, 1.3]),
        "early_stopping": some(rng, [True, False, "never"]),
        "length_penalty": some(rng, [-1.0, 0.0, 0.7, 1.0, 2.0]),
        **EVERYTHING,
    }
    return {name: value for name, value in options.items() if value is not None}


def draw_groups(rng):
    groups, size = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    return {
        "num_beams": groups * size,
        "num_beam_groups": groups,
        "diversity_penalty": some(rng, [0.3, 1.0, 4.0]),
        "num_return_sequences": int(rng.integers(1, groups * size + 1)),
        "no_repeat_ngram_size": some(rng, [0, 2, 3]),
        "sequence_bias": some(rng, [[[[7], 2.0]], [[[5, 6], -3.0], [[8], 0.5]]]),
    }


def draw_word(rng):
    """A word of one to three ids, or a list of alternatives that begin with different ones."""
    firsts = rng.permutation(LATE_IDS)[: some(rng, [1, 1, 2, 3])].tolist()
    forms = [[first, *rng.choice(LATE_IDS, rng.integers(0, 3)).tolist()] for first in firsts]
    return forms if len(forms) > 1 else forms[0]


def draw_words(rng):
    beams = int(rng.integers(2, 6))
    return {
        "num_beams": beams,
        "num_return_sequences": int(rng.integers(1, beams + 1)),
        "force_words_ids": [draw_word(rng) for _ in range(rng.integers(1, 4))],
    }


def ask_version_4(model, prompt, options):
    """Its output; without scores where it cannot sort out its beam_indices.

    That is where sequences that lack their words are among those returned.
    """
    mask = np.ones_like(prompt)
    try:
        return model.generate(prompt, mask, options)
    except RuntimeError as error:
        if "NoneType" not in str(error):
            raise
        return model.generate(prompt, mask, {**options, "output_scores": False})


def compare_with_version_4(rng, draw):
    model = ReferenceModel(rng, rng.uniform(0, 4), ends=[1, 3])
    model.model.register_forward_hook(in_float32)
    prompt, _ = draw_prompt(rng, len(model.source))
    options = draw_options(rng, prompt.shape[1]) | draw(rng)
    theirs = ask_version_4(model, prompt, options)
    ours = generate_ids(model, prompt, GenerationConfig().updated(**options))
    options.setdefault("pad_token_id", None)
    ids, their_ids = (trimmed(x.sequences, prompt.shape[1], options) for x in (ours, theirs))
    assert ids == their_ids, options
    if theirs.sequences_scores is not None:
        # Division by length ** -1 multiplies the rounding errors of the sum.
        scores, their_scores = ours.sequences_scores, theirs.sequences_scores
        np.testing.assert_allclose(scores, their_scores, 2e-6, 2e-5, err_msg=str(options))
    return ours, theirs


@with_version_4
@pytest.mark.filterwarnings("ignore")
def test_groups_of_beams_find_what_they_find_there(rng):
    for _ in range(SEARCHES):
        compare_with_version_4(rng, draw_groups)


@with_version_4
@pytest.mark.filterwarnings("ignore")
def test_forced_words_lead_to_the_same_sequences_from_the_same_beams(rng):
    for _ in range(SEARCHES):
        ours, theirs = compare_with_version_4(rng, draw_words)
        if theirs.beam_indices is not None:
            steps = ours.beam_indices.shape[1]
            np.testing.assert_array_equal(ours.beam_indices, theirs.beam_indices[:, :steps])
