"""Store what the contrastive search of transformers 4.46 generates; version 5 has none.

Run from the repository's root: python tests/references/make_v4_contrastive.py
"""

from copy import deepcopy

import numpy as np
import transformers
from capture import References, set_recipe_weights, to_torch
from transformers import EncoderDecoderConfig, EncoderDecoderModel

HALF = {
    "vocab_size": 17,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
TOP = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 2}
AS_DECODER = {"is_decoder": True, "add_cross_attention": True}
RELATIVE = {"position_embedding_type": "relative_key_query"}
SOURCE = {
    "input_ids": [[15, 12, 10, 7, 8, 4], [4, 6, 5, 13, 0, 0], [9, 14, 0, 0, 0, 0]],
    "attention_mask": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]],
}
PROMPT = {
    "decoder_input_ids": [[2, 8, 6, 9], [2, 16, 5, 11], [2, 7, 7, 7]],
    "decoder_attention_mask": [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]],
}


def pair(model_type="bert-generation", encoder=(), **both):
    half = HALF | {"model_type": model_type} | both
    return TOP | {"encoder": half | dict(encoder), "decoder": half | AS_DECODER}


# With several tokens of a prompt and a cache, BertGeneration of this version sees the future.
CASES = {
    "bert_generation": (pair(), SOURCE),
    "two_widths": (pair(encoder={"hidden_size": 12, "num_attention_heads": 3}), SOURCE),
    "relative_positions": (pair(**RELATIVE), SOURCE),
    "bert_with_a_padded_prompt": (pair("bert"), SOURCE | PROMPT),
}
SEARCHES = {
    "small_penalty": {"penalty_alpha": 0.3, "top_k": 3},
    "usual": {"penalty_alpha": 0.6, "top_k": 4},
    "large_penalty": {"penalty_alpha": 0.9, "top_k": 6},
    "nothing_but_the_penalty": {"penalty_alpha": 1.0, "top_k": 2},
    # Not repetition_penalty, for which this version counts the padding of a prompt as used.
    "with_processors": {
        "penalty_alpha": 0.5,
        "top_k": 5,
        "no_repeat_ngram_size": 2,
        "min_length": 6,
        "suppress_tokens": [10, 16],
    },
    "several_ends": {"penalty_alpha": 0.6, "top_k": 4, "eos_token_id": [3, 9, 15]},
}


def build(config):
    config = EncoderDecoderConfig(**deepcopy(config), attn_implementation="eager")
    model = EncoderDecoderModel(config)
    return model, set_recipe_weights(model)


def generate(model, inputs, settings):
    output = model.generate(
        **to_torch(inputs), **settings, return_dict_in_generate=True, output_scores=True
    )
    scores = np.stack([step.numpy() for step in output.scores])
    return {"sequences": output.sequences.numpy(), "scores": scores}


def add_case(references, case, config, inputs):
    model, shapes = build(config)
    inputs = {name: np.array(values) for name, values in inputs.items()}
    searches = {name: settings | {"max_length": 16} for name, settings in SEARCHES.items()}
    generation = {
        f"{search}/{name}": array
        for search, settings in searches.items()
        for name, array in generate(model, inputs, settings).items()
    }
    greedy = generate(model, inputs, {"max_length": 16})["sequences"].tolist()
    assert all(generation[f"{s}/sequences"].tolist() != greedy for s in searches), case
    description = {"class": "EncoderDecoderModel", "config": config, "generation": searches}
    references.add(case, shapes, description, inputs=inputs, generation=generation)
    for search in searches:
        print(case, search, generation[f"{search}/sequences"].tolist())


def main():
    transformers.logging.set_verbosity_error()
    references = References()
    for case, (config, inputs) in CASES.items():
        add_case(references, case, config, inputs)
    references.save("v4_contrastive.safetensors")


if __name__ == "__main__":
    main()
