"""Store what transformers 4.46 finds with groups of beams and with forced words.

Version 5 has neither. Run from the repository's root: python tests/references/make_v4_searches.py
"""

from copy import deepcopy

import numpy as np
import transformers
from capture import References, set_recipe_weights, to_torch
from transformers import EncoderDecoderConfig, EncoderDecoderModel

HALF = {
    "vocab_size": 17,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 12,
}
TOP = {"pad_token_id": 0, "eos_token_id": 12, "decoder_start_token_id": 2}
AS_DECODER = {"is_decoder": True, "add_cross_attention": True}
SOURCE = {
    "input_ids": [[15, 12, 10, 7, 8, 4], [4, 6, 5, 13, 0, 0], [9, 14, 0, 0, 0, 0]],
    "attention_mask": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]],
}
PROMPT = {
    "decoder_input_ids": [[2, 8, 6, 9], [0, 2, 5, 11], [0, 0, 2, 7]],
    "decoder_attention_mask": [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]],
}


def pair(model_type):
    half = HALF | {"model_type": model_type}
    return TOP | {"encoder": half, "decoder": half | AS_DECODER}


CASES = {
    "bert_generation": (pair("bert-generation"), SOURCE),
    "bert_with_a_padded_prompt": (pair("bert"), SOURCE | PROMPT),
}
FOUR = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "num_return_sequences": 4}
SIX = {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.5, "num_return_sequences": 5}
SEVERAL_ENDS = {"eos_token_id": [12, 13, 14]}
# Not repetition_penalty, for which this version counts the padding of a prompt as used.
PROCESSORS = {
    "min_length": 7,
    "suppress_tokens": [10, 16],
    "sequence_bias": [[[7], 1.5], [[6, 5], -2.0]],
}
GROUPS = {
    "two_groups": FOUR,
    "groups_of_one": {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 0.7},
    "three_groups": SIX,
    "strong_penalty": SIX | {"diversity_penalty": 8.0},
    "several_ends": SIX | SEVERAL_ENDS,
    "ends_early": SIX | SEVERAL_ENDS | {"early_stopping": True, "length_penalty": 2.0},
    "never_early": FOUR | SEVERAL_ENDS | {"early_stopping": "never", "length_penalty": 2.0},
    "for_short_ones": FOUR | SEVERAL_ENDS | {"length_penalty": -1.0},
    "padded_with_an_end": SIX | SEVERAL_ENDS | {"pad_token_id": 12, "length_penalty": 0.0},
    "with_processors": SIX | SEVERAL_ENDS | PROCESSORS | {"no_repeat_ngram_size": 2},
    "forced_end": FOUR | {"forced_eos_token_id": 12, "max_length": 9},
    "no_end": FOUR | {"eos_token_id": None, "max_length": 9},
}
BEAMS = {"num_beams": 4, "num_return_sequences": 2}
ENDING = BEAMS | {"sequence_bias": [[[12], 4.0], [[8], -1.0]]}
WORDS = {
    "one_id": BEAMS | {"force_words_ids": [[8]]},
    "one_word": ENDING | {"force_words_ids": [[8, 5, 10]]},
    "three_words": ENDING | {"num_beams": 6, "force_words_ids": [[8, 5], [10], [11, 11]]},
    "words_that_begin_alike": ENDING | {"force_words_ids": [[8, 5], [8, 11]]},
    "alternatives": ENDING | {"force_words_ids": [[[8, 5, 10], [9]], [7]]},
    "several_ends": ENDING | SEVERAL_ENDS | {"force_words_ids": [[8], [[4, 5], [9, 4, 6]]]},
    "ends_early": ENDING
    | SEVERAL_ENDS
    | {"force_words_ids": [[6, 8]], "early_stopping": True, "length_penalty": 2.0},
    "never_early": ENDING
    | SEVERAL_ENDS
    | {"force_words_ids": [[6, 8]], "early_stopping": "never", "length_penalty": 0.5},
    "for_short_ones": ENDING | {"force_words_ids": [[8], [8]], "length_penalty": -1.0},
    "with_processors": BEAMS | SEVERAL_ENDS | PROCESSORS | {"force_words_ids": [[8, 5], [11]]},
    "no_room": BEAMS | {"force_words_ids": [[8, 5, 10, 9, 6, 4, 11]], "max_length": 8},
    "no_end": BEAMS | {"force_words_ids": [[8, 5]], "eos_token_id": None, "max_length": 9},
}
SEARCHES = {f"groups_{name}": options for name, options in GROUPS.items()}
SEARCHES |= {f"words_{name}": options for name, options in WORDS.items()}
WITH_STEPS = ("groups_three_groups", "groups_with_processors", "words_three_words")


def in_float32(model, inputs, output):
    """Round the logits of the double model: group search copies them to where float32 is."""
    output.logits = output.logits.float()
    return output


def build(config):
    config = EncoderDecoderConfig(**deepcopy(config), attn_implementation="eager")
    model = EncoderDecoderModel(config)
    shapes = set_recipe_weights(model)
    model.register_forward_hook(in_float32)
    return model, shapes


def generate(model, inputs, options):
    """Ids and scores; without scores where this version fails to sort out its beam_indices.

    That is where sequences without their words are returned.
    """
    arguments = {**to_torch(inputs), **options, "use_cache": False}
    try:
        output = model.generate(**arguments, return_dict_in_generate=True, output_scores=True)
    except RuntimeError:
        return {"sequences": model.generate(**arguments).numpy()}
    return {
        "sequences": output.sequences.numpy(),
        "sequences_scores": output.sequences_scores.numpy(),
        "scores": np.stack([step.numpy() for step in output.scores]),
    }


def add_case(references, case, config, inputs):
    model, shapes = build(config)
    inputs = {name: np.array(values) for name, values in inputs.items()}
    searches = {name: {"max_length": 14} | options for name, options in SEARCHES.items()}
    generation = {}
    for search, options in searches.items():
        arrays = generate(model, inputs, options)
        if search not in WITH_STEPS:
            arrays.pop("scores", None)
        generation |= {f"{search}/{name}": array for name, array in arrays.items()}
        print(case, search, arrays["sequences"].tolist())
    description = {"class": "EncoderDecoderModel", "config": config, "generation": searches}
    references.add(case, shapes, description, inputs=inputs, generation=generation)


def main():
    transformers.logging.set_verbosity_error()
    references = References()
    for case, (config, inputs) in CASES.items():
        add_case(references, case, config, inputs)
    references.save("v4_searches.safetensors")


if __name__ == "__main__":
    main()
