"""An example alone is answered as in any padded batch, by every strategy."""

import numpy as np
import pytest
from model_support import END, PAD, START, randomised, small_pair, words

STRATEGIES = {
    "greedy": {},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "sampling": {"do_sample": True, "num_return_sequences": 2, "top_p": 0.9},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "beam sampling": {"num_beams": 3, "do_sample": True},
    "groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7},
    "constrained": {"num_beams": 3, "force_words_ids": [[7], [[8, 9], [10]]]},
}
# Not those that read the source: as in the reference, they read its padding, too.
PROCESSORS = {
    "repetition_penalty": 1.3,
    "no_repeat_ngram_size": 2,
    "bad_words_ids": [[5, 6], [11]],
    "min_new_tokens": 2,
}
LENGTHS, SEEDS = (6, 2, 5, 1), (3, 1, 4, 1)
# Many, so that the rows end at different steps.
ENDS = [END, 12, 13, 14, 15]


def answered(model, rows, seeds, options):
    """The hypotheses of each row, without padding."""
    longest = max(map(len, rows))
    ids = np.array([[*row, *[PAD] * (longest - len(row))] for row in rows])
    mask = (np.arange(longest) < np.array([[len(row)] for row in rows])).astype(np.int64)
    seed = {"seed": seeds} if options.get("do_sample") else {}
    output = model.generate(ids, mask, return_dict_in_generate=True, **options, **seed)
    return output.hypotheses


def lengths_compared(options, seed):
    """Compare each example alone with the same in a batch; the lengths of their answers."""
    # With large weights, the answers depend on the sources.
    model = randomised(small_pair(seed), np.random.default_rng(seed), std=1.0)
    rng = np.random.default_rng(seed)
    rows = [words(rng, length).tolist() for length in LENGTHS]
    together = answered(model, rows, SEEDS, options)
    each = options.get("num_return_sequences", 1)
    for index, (row, of_row) in enumerate(zip(rows, SEEDS, strict=True)):
        for number, alone in enumerate(answered(model, [row], [of_row], options)):
            in_batch = together[index * each + number]
            assert in_batch.tokens.tolist() == alone.tokens.tolist()
            np.testing.assert_allclose(in_batch.log_probs, alone.log_probs, atol=1e-5)
    return {hypothesis.length for hypothesis in together}


@pytest.mark.parametrize("processors", [{}, PROCESSORS], ids=["plain", "processors"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_an_example_is_answered_alone_as_in_a_padded_batch(name, processors):
    ids = {"eos_token_id": ENDS, "pad_token_id": PAD, "decoder_start_token_id": START}
    options = {**STRATEGIES[name], **processors, **ids, "max_new_tokens": 9}
    varied = [len(lengths_compared(options, seed)) > 1 for seed in range(8)]
    # Rows that end at different steps leave at different steps.
    assert any(varied) or name == "constrained"
