"""Whole chains of processors, here and in transformers 5; other ones every time."""

from types import SimpleNamespace

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
from processor_support import ROWS, V, draw_ids, draw_scores

from minibert2bert.generation.call_arguments import CallArguments
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.processors import logits_processors, process
from minibert2bert.generation.settings import ids_of, resolve

CHAINS = 400
AS_THEY_ARE = {"do_sample": False, "renormalize_logits": False}
LOWEST = -1e30


def draw_options(rng):
    """About a third of all options, so that chains are long and short."""
    choices = {
        "sequence_bias": lambda: spread_words(draw_words(rng, [-3.5, 1.25])),
        "encoder_repetition_penalty": lambda: float(rng.uniform(0.5, 2)),
        "repetition_penalty": lambda: float(rng.uniform(0.5, 2)),
        "no_repeat_ngram_size": lambda: int(rng.integers(0, 4)),
        "encoder_no_repeat_ngram_size": lambda: int(rng.integers(2, 4)),
        "bad_words_ids": lambda: [[1], *map(list, draw_words(rng, [0.0]))],
        "min_length": lambda: int(rng.integers(0, 8)),
        "min_new_tokens": lambda: int(rng.integers(0, 5)),
        "forced_bos_token_id": lambda: 4,
        "forced_eos_token_id": lambda: [1, 3],
        "remove_invalid_values": lambda: bool(rng.integers(2)),
        "exponential_decay_length_penalty": lambda: (int(rng.integers(0, 3)), 1.3),
        "suppress_tokens": lambda: rng.integers(5, V, 2).tolist(),
        "begin_suppress_tokens": lambda: rng.integers(5, V, 2).tolist(),
        "renormalize_logits": lambda: bool(rng.integers(2)),
        "temperature": lambda: float(rng.uniform(0.3, 2)),
        "top_h": lambda: float(rng.uniform(0.3, 0.99)),
        "top_k": lambda: int(rng.integers(0, V + 2)),
        "top_p": lambda: float(rng.uniform(0.3, 1.1)),
        "min_p": lambda: float(rng.uniform(0, 0.3)),
        "typical_p": lambda: float(rng.uniform(0.3, 1.1)),
        "epsilon_cutoff": lambda: float(rng.uniform(0, 0.1)),
        "eta_cutoff": lambda: float(rng.uniform(0, 0.1)),
    }
    eos, beams = [None, 1, [1, 3]][rng.integers(3)], int(rng.choice([1, 3]))
    # The decay of the reference raises a TypeError without an end, and makes a forbidden end
    # certain after remove_invalid_values.
    apart = ["exponential_decay_length_penalty", "remove_invalid_values"]
    del choices[apart[0 if eos is None else rng.integers(2)]]
    return {name: draw() for name, draw in choices.items() if rng.random() < 0.35} | {
        "eos_token_id": eos,
        "do_sample": bool(rng.integers(2)),
        "num_beams": beams,
        "max_length": int(rng.integers(5, 9)),
    }


def reference_chain(options, prompt_length, source, mask, allowed):
    """The list that the reference's generate() builds for its searches."""
    from transformers import GenerationConfig as Reference
    from transformers.generation.utils import GenerationMixin

    defaults = {
        "num_return_sequences": 1,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
        "typical_p": 1.0,
    }
    config = quietly(Reference, **{**defaults, **options})
    if config.min_new_tokens is not None:
        config.min_length = prompt_length + config.min_new_tokens
    eos = ids_of(config.eos_token_id)
    config._eos_token_tensor = tensor(np.array(eos)) if eos else None
    mixin = GenerationMixin()
    mixin.config = SimpleNamespace(is_encoder_decoder=True)
    return mixin._get_logits_processor(
        config, prompt_length, tensor(source), prefix_allowed_tokens_fn=allowed,
        model_kwargs={"decoder_attention_mask": tensor(mask)},
    )  # fmt: skip


def our_chain(options, prompt_length, source, mask, allowed):
    call = CallArguments(
        prompt_mask=mask,
        encoder_input_ids=np.repeat(source, len(mask) // len(source), axis=0),
        prefix_allowed_tokens_fn=allowed,
    )
    settings = quietly(resolve, GenerationConfig().updated(**options), prompt_length)
    return logits_processors(settings, call)


def is_comparable(scores, options):
    """Whether every row has something to draw, and no equals of which the reference keeps any."""
    keeps_any = "top_h" in options or "min_p" in options
    rows = [row[np.isfinite(row)].tolist() for row in scores]
    return all(
        max(row, default=LOWEST) > LOWEST and not (keeps_any and len(set(row)) < len(row))
        for row in rows
    )


@pytest.mark.parity
@pytest.mark.usefixtures("quiet_transformers")
def test_a_chain_does_what_that_of_the_reference_does(rng):
    for _ in range(CHAINS):
        options, prompt_length = draw_options(rng), int(rng.integers(1, 4))
        inputs = ROWS // options["num_beams"]
        source, ids = draw_ids(rng, 5, inputs), draw_ids(rng, prompt_length + rng.integers(0, 4))
        mask = np.arange(prompt_length) >= rng.integers(0, prompt_length, (ROWS, 1))
        allowed = [None, None, allow][rng.integers(3)]
        scores = draw_scores(rng)
        arguments = prompt_length, source, mask.astype(np.int64), allowed
        undrawn = process(our_chain({**options, **AS_THEY_ARE}, *arguments), ids, scores)
        if not is_comparable(undrawn, options):
            continue
        theirs = reference_chain(options, *arguments)(tensor(ids), tensor(scores)).numpy()

        def ours(nudge, options=options, arguments=arguments, ids=ids, scores=scores):
            nudged = {n: v * nudge if n in THRESHOLDS else v for n, v in options.items()}
            return process(our_chain(nudged, *arguments), ids, scores)

        assert_agreement(ours, theirs, f"{options}")
