"""Store what transformers 4.46 computes in BERT, RoBERTa and GPT-2 with what version 5 dropped.

Run from the repository's root: python tests/references/make_v4_families.py
"""

import numpy as np
import transformers
from capture import References, gradient_arrays, output_arrays, set_recipe_weights, to_torch
from transformers import (
    BertLMHeadModel,
    BertModel,
    GPT2LMHeadModel,
    RobertaForCausalLM,
    RobertaModel,
)

SIZES = {
    "vocab_size": 13,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
CONFIGS = {"bert": SIZES | {"pad_token_id": 0}, "roberta": SIZES | {"pad_token_id": 1}}
GPT2_CONFIG = {
    "vocab_size": 13,
    "n_positions": 16,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "n_inner": 16,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "add_cross_attention": True,
}
QUERY = {"position_embedding_type": "relative_key_query"}
AS_DECODER = {"is_decoder": True, "add_cross_attention": True}
# By where the padding is: which of the four positions are tokens, row by row.
PADDINGS = {
    "right_padding": [[1, 1, 1, 1], [1, 1, 0, 0]],
    "left_padding": [[1, 1, 1, 1], [0, 0, 1, 1]],
    "inner_padding": [[1, 0, 1, 1], [1, 1, 0, 1]],
}
WORDS = [[5, 6, 7, 8], [10, 11, 4, 12]]
SEGMENTS = [[0, 0, 1, 1], [0, 1, 1, 0]]
HEAD_MASKS = {
    "no_head_mask": {},
    "head_mask": {"head_mask": [0.25, 1.0]},
    "layer_head_mask": {"head_mask": [[1.0, 0.125], [0.5, 0.75]]},
}
ENCODER = {
    "encoder_hidden_states": np.sin(np.arange(48.0)).reshape(2, 3, 8),
    "encoder_attention_mask": [[1, 1, 1], [1, 1, 0]],
}
# Version 4 gives GPT-2's left padding other weights than version 5 does, see README.md.
DECODERS = {
    "bert_decoder": (BertLMHeadModel, CONFIGS["bert"] | AS_DECODER | QUERY, "left_padding"),
    "roberta_decoder": (
        RobertaForCausalLM,
        CONFIGS["roberta"] | AS_DECODER | QUERY,
        "inner_padding",
    ),
    "gpt2": (GPT2LMHeadModel, GPT2_CONFIG, "right_padding"),
}
WITH_GRADIENTS = ("roberta_decoder_layer_head_mask", "gpt2_layer_head_mask")


def build(model_class, config):
    model = model_class(model_class.config_class(**config, attn_implementation="eager"))
    return model, set_recipe_weights(model)


def add_case(references, case, model_class, config, inputs):
    inputs = {name: np.asarray(values) for name, values in inputs.items()}
    model, shapes = build(model_class, config)
    extras = {"output_attentions": True, "output_hidden_states": True}
    output = model(**to_torch(inputs), use_cache=False, **extras)
    groups = {"inputs": inputs, "outputs": output_arrays(output)}
    if case in WITH_GRADIENTS:
        groups["gradients"] = gradient_arrays(model, output.loss)
    references.add(case, shapes, {"class": model_class.__name__, "config": config}, **groups)


def padded(padding, pad):
    """Give the ids, with the pad token where the mask is 0, and the mask."""
    mask = np.array(PADDINGS[padding])
    return {"input_ids": np.where(mask == 1, WORDS, pad), "attention_mask": mask}


def add_encoders(references):
    """Let every kind of positions meet every padding, and the head masks take turns."""
    kinds = ("relative_key", "relative_key_query")
    for family, model_class in {"bert": BertModel, "roberta": RobertaModel}.items():
        config = CONFIGS[family]
        paddings = ["right_padding" if family == "bert" else "inner_padding", "left_padding"]
        for i, kind in enumerate(kinds):
            for j, padding in enumerate(paddings):
                heads = list(HEAD_MASKS)[(i + 2 * j + 1) % 3]
                inputs = padded(padding, config["pad_token_id"]) | HEAD_MASKS[heads]
                inputs |= {"token_type_ids": SEGMENTS} if family == "bert" else {}
                case = f"{family}_{kind}_{padding}_{heads}"
                kind_of_positions = {"position_embedding_type": kind}
                add_case(references, case, model_class, config | kind_of_positions, inputs)


def add_roberta_with_absolute_positions(references):
    """Only these read the positions that skip the padding; relative ones replace them."""
    config = CONFIGS["roberta"]
    for padding in ("inner_padding", "left_padding"):
        inputs = padded(padding, config["pad_token_id"]) | HEAD_MASKS["head_mask"]
        add_case(references, f"roberta_absolute_{padding}", RobertaModel, config, inputs)


def add_decoders(references):
    for name, (model_class, config, padding) in DECODERS.items():
        inputs = padded(padding, config.get("pad_token_id", 0)) | ENCODER
        labels = np.where(inputs["attention_mask"] == 1, inputs["input_ids"], -100)
        for heads in ("head_mask", "layer_head_mask"):
            inputs_here = inputs | {"labels": labels} | HEAD_MASKS[heads]
            add_case(references, f"{name}_{heads}", model_class, config, inputs_here)


def main():
    transformers.logging.set_verbosity_error()
    references = References()
    add_encoders(references)
    add_roberta_with_absolute_positions(references)
    add_decoders(references)
    references.save("v4_families.safetensors")


if __name__ == "__main__":
    main()
