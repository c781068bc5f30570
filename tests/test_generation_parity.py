"""1,000 random calls of generate, here and in transformers: all families, options, paddings.

Each of the 15 pairs of families meets 67 draws of a model, a batch, a strategy and options, other
ones every time.
"""

import numpy as np
import pytest
from model_support import padded_mask, some, trimmed, words
from parity_support import Reference, quietly
from test_families import END, PAD, PAIRS, START, draw_family_pair

DRAWS, VOCABULARY = 67, 17
OTHER_END = 5
# The float32 scores of the reference: sums of log-probabilities of size 1 to 30.
RTOL, ATOL = 2e-6, 1e-5
OUTPUTS = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}


def ids_of(rng, count):
    return rng.choice(np.arange(6, VOCABULARY), count, replace=False).tolist()


def draw_processors(rng):
    """Each option with a probability of a quarter: most calls have some, none has all."""
    bias = {tuple(ids_of(rng, n)): float(rng.normal() * 3) for n in (1, 2)}
    options = {
        "sequence_bias": bias,
        "encoder_repetition_penalty": some(rng, [0.7, 1.4]),
        "repetition_penalty": some(rng, [0.7, 1.2, 1.8]),
        "no_repeat_ngram_size": some(rng, [2, 3]),
        "encoder_no_repeat_ngram_size": some(rng, [2, 3]),
        "bad_words_ids": [[token] for token in ids_of(rng, 2)] + [ids_of(rng, 2)],
        "min_length": int(rng.integers(2, 6)),
        "min_new_tokens": int(rng.integers(1, 5)),
        "remove_invalid_values": True,
        "exponential_decay_length_penalty": (int(rng.integers(0, 4)), 1.2),
        "suppress_tokens": ids_of(rng, 2),
        "begin_suppress_tokens": ids_of(rng, 3),
        "renormalize_logits": True,
        "forced_bos_token_id": 4,
        # Not two: they would score the same, and of equals either may be taken.
        "forced_eos_token_id": END,
    }
    chosen = {name: value for name, value in options.items() if rng.random() < 0.25}
    if "remove_invalid_values" in chosen:
        # There, a forbidden end becomes the lowest number, which the decay then makes the highest.
        chosen.pop("exponential_decay_length_penalty", None)
    return chosen


def draw_filters(rng):
    options = {
        "temperature": some(rng, [0.5, 1.7]),
        "top_p": 0.8,
        "min_p": 0.05,
        "typical_p": 0.9,
        "epsilon_cutoff": 0.01,
        "eta_cutoff": 0.02,
    }
    # The best token alone is left, so the draw is certain, whatever the other filters leave of it.
    return {"do_sample": True, "top_k": 1} | {
        name: value for name, value in options.items() if rng.random() < 0.5
    }


def draw_options(rng):
    beams = int(rng.integers(1, 6))
    options = {
        "num_beams": beams,
        "pad_token_id": PAD,
        "eos_token_id": some(rng, [END, [END, OTHER_END]]),
        "decoder_start_token_id": START,
        some(rng, ["max_length", "max_new_tokens"]): int(rng.integers(3, 12)),
        **OUTPUTS,
        **draw_processors(rng),
    }
    if beams > 1:
        # A forced token leaves fewer sequences than beams; the reference fills up with forbidden
        # ones.
        for name in ("forced_bos_token_id", "forced_eos_token_id"):
            options.pop(name, None)
        return options | {
            "num_return_sequences": int(rng.integers(1, beams + 1)),
            "early_stopping": some(rng, [True, False, "never"]),
            "length_penalty": some(rng, [0.0, 0.6, 1.0, 2.0]),
        }
    return options | (draw_filters(rng) if rng.random() < 0.4 else {})


def draw_model(rng, encoder, decoder):
    model = draw_family_pair(rng, encoder, decoder)
    end = rng.uniform(0, 3)
    for name, array in model.parameters().items():
        if name.endswith(("lm_head.bias", "lm_head.decoder.bias", "predictions.bias")):
            array[END] += end
            if decoder == "roberta":
                # After a pad token, the reference's RoBERTa has other positions with a cache.
                array[PAD] = -1e4
    return model


def draw_source(rng):
    batch, length = int(rng.integers(1, 5)), int(rng.integers(2, 8))
    mask = padded_mask(rng, batch, length, some(rng, ["left", "right"]))
    return np.where(mask == 1, words(rng, batch, length), PAD), mask


def dead_ends(output, beams, forced):
    """Whether some input was left without a token to choose: there, the reference goes on."""
    least = 1 if beams == 1 or forced else 2 * beams
    for scores in output.scores:
        rows = scores.reshape(-1, beams * scores.shape[-1])
        if (np.isfinite(rows).sum(axis=1) < least).any():
            return True
    return False


def compare(model, reference, rng):
    """Compare one call; False if it came to a dead end and has to be drawn again."""
    options = draw_options(rng)
    ids, mask = draw_source(rng)
    ours = quietly(model.generate, ids, mask, **options)
    forced = bool({"forced_bos_token_id", "forced_eos_token_id"} & options.keys())
    if dead_ends(ours, options["num_beams"], forced):
        return False
    theirs = reference.generate(ids, mask, options)
    fillers = PAD, *np.atleast_1d(options["eos_token_id"])
    found, expected = (trimmed(out.sequences, *fillers) for out in (ours, theirs))
    assert found == expected, options
    if options["num_beams"] > 1:
        expected = theirs.sequences_scores.numpy()
        np.testing.assert_allclose(
            ours.sequences_scores, expected, RTOL, ATOL, err_msg=str(options)
        )
    compare_steps(ours, theirs, options)
    return True


def compare_steps(ours, theirs, options):
    """Compare the rows from which the returned tokens were chosen; the others may be empty."""
    if options["num_beams"] > 1:
        rows_of_steps = [rows[rows >= 0] for rows in ours.beam_indices.T]
        np.testing.assert_array_equal(ours.beam_indices, theirs.beam_indices, str(options))
    else:
        # Inputs that are done are not asked about again.
        rows_of_steps = [np.flatnonzero(np.abs(step).max(axis=1)) for step in ours.logits]
    for step, rows in enumerate(rows_of_steps):
        assert len(rows) > 0
        for name in ("scores", "logits"):
            found, expected = (getattr(out, name)[step][rows] for out in (ours, theirs))
            np.testing.assert_allclose(found, expected, RTOL, ATOL, err_msg=f"{name} {options}")


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_generate_does_what_the_reference_does(encoder, decoder, rng):
    compared = drawn = 0
    while compared < DRAWS:
        if drawn % 4 == 0:
            model = draw_model(rng, encoder, decoder)
            reference = Reference(model)
        drawn += 1
        compared += compare(model, reference, rng)
        assert drawn < 2 * DRAWS, "too many draws came to a dead end"
