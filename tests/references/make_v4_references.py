"""Store what transformers 4.46 computes with relative positions and head masks.

Run from the repository's root: python tests/references/make_v4_references.py
"""

from copy import deepcopy

import numpy as np
import torch
import transformers
from capture import (
    GOLDEN,
    References,
    assert_golden,
    gradient_arrays,
    output_arrays,
    set_recipe_weights,
    to_torch,
)
from transformers import (
    BertGenerationConfig,
    BertGenerationDecoder,
    BertGenerationEncoder,
    EncoderDecoderConfig,
    EncoderDecoderModel,
)

KINDS = ("absolute", "relative_key", "relative_key_query")
CONFIG = GOLDEN["b2"]["config"] | {
    "is_decoder": False,
    "add_cross_attention": False,
    "use_cache": False,  # True would switch the decoder's causal mask off in this version
    "tie_word_embeddings": True,
}
AS_DECODER = {"is_decoder": True, "add_cross_attention": True}
PADDINGS = {
    "no_padding": {"input_ids": [[5, 6, 7, 8], [10, 11, 4, 12]]},
    "right_padding": {
        "input_ids": [[5, 6, 7, 8], [10, 11, 0, 0]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]],
    },
    "left_padding": {
        "input_ids": [[5, 6, 7, 8], [0, 0, 10, 11]],
        "attention_mask": [[1, 1, 1, 1], [0, 0, 1, 1]],
    },
}
HEAD_MASKS = {
    "no_head_mask": {},
    "head_mask": {"head_mask": [0.25, 1.0]},
    "layer_head_mask": {"head_mask": [[1.0, 0.0], [0.5, 1.0]]},
}
ENCODER_STATES = np.sin(np.arange(48.0)).reshape(2, 3, 8)
WITH_GRADIENTS = (
    "encoder_relative_key_query_left_padding_head_mask",
    "wide_decoder",
    "encoder_decoder",
)


def build(model_class, config):
    if model_class is EncoderDecoderModel:
        # The constructor takes model_type out of the dicts it is given.
        model = EncoderDecoderModel(EncoderDecoderConfig(**deepcopy(config)))
    else:
        model = model_class(BertGenerationConfig(**config))
    return model, set_recipe_weights(model)


def run(model, inputs):
    return model(
        **to_torch(inputs), use_cache=False, output_attentions=True, output_hidden_states=True
    )


def add_case(references, case, model_class, config, inputs):
    """Run a model; an encoder has no loss of its own: it is sum(upstream * last_hidden_state)."""
    inputs = {name: np.asarray(values) for name, values in inputs.items()}
    model, shapes = build(model_class, config)
    output = run(model, inputs)
    groups = {"inputs": inputs, "outputs": output_arrays(output)}
    if case in WITH_GRADIENTS:
        loss = output.get("loss")
        if loss is None:
            states = output.last_hidden_state
            upstream = np.sin(0.7 * np.arange(states.numel()) + 0.3).reshape(states.shape)
            groups["upstream"] = {"last_hidden_state": upstream}
            loss = (torch.from_numpy(upstream) * states).sum()
        groups["gradients"] = gradient_arrays(model, loss)
    description = {"class": model_class.__name__, "config": config}
    references.add(case, shapes, description, **groups)


def labels_of(inputs):
    """Let a decoder predict its own input, except the padding."""
    ids = np.array(inputs["input_ids"])
    return np.where(ids == CONFIG["pad_token_id"], -100, ids)


def add_encoders_and_decoders(references):
    """Combine kinds, paddings and head masks in a Latin square: every two of them meet once."""
    for i, kind in enumerate(KINDS):
        config = CONFIG | {"position_embedding_type": kind}
        for j, (padding, inputs) in enumerate(PADDINGS.items()):
            heads = list(HEAD_MASKS)[(i + j) % 3]
            encoder_inputs = inputs | HEAD_MASKS[heads]
            case = f"encoder_{kind}_{padding}_{heads}"
            add_case(references, case, BertGenerationEncoder, config, encoder_inputs)

            heads = list(HEAD_MASKS)[(i + 2 * j) % 3]
            decoder_inputs = inputs | HEAD_MASKS[heads] | {"labels": labels_of(inputs)}
            decoder_inputs["encoder_hidden_states"] = ENCODER_STATES
            if j > 0:
                decoder_inputs["encoder_attention_mask"] = [[1, 1, 1], [1, 1, 0]]
            case = f"decoder_{kind}_{padding}_{heads}"
            add_case(references, case, BertGenerationDecoder, config | AS_DECODER, decoder_inputs)


def add_wide_decoder(references):
    """Add a decoder of other sizes that has no encoder to look at."""
    sizes = {"hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 1}
    sizes |= {"max_position_embeddings": 8}
    relative = {"position_embedding_type": "relative_key_query", "is_decoder": True}
    inputs = PADDINGS["right_padding"]
    inputs = inputs | {"head_mask": [1.0, 0.0, 0.5], "labels": labels_of(inputs)}
    add_case(references, "wide_decoder", BertGenerationDecoder, CONFIG | sizes | relative, inputs)


def add_encoder_decoder(references):
    """Add two halves with different kinds, depths, head sizes, tables and head masks."""
    encoder = CONFIG | {"position_embedding_type": "relative_key"}
    encoder |= {"num_hidden_layers": 1, "max_position_embeddings": 8}
    decoder = CONFIG | AS_DECODER | {"position_embedding_type": "relative_key_query"}
    decoder |= {"num_attention_heads": 4, "max_position_embeddings": 12}
    config = {"model_type": "encoder-decoder", "is_encoder_decoder": True}
    config |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2}
    config |= {"encoder": encoder, "decoder": decoder}
    inputs = PADDINGS["right_padding"] | {
        "labels": GOLDEN["b1_inputs"]["labels"],
        "head_mask": [0.5, 1.0],
        "decoder_head_mask": [[1.0, 0.5, 0.0, 1.0], [0.75, 1.0, 1.0, 0.0]],
    }
    add_case(references, "encoder_decoder", EncoderDecoderModel, config, inputs)


def check_golden_encoder(kind, golden):
    model, shapes = build(BertGenerationEncoder, CONFIG | {"position_embedding_type": kind})
    assert len(shapes) == golden["n_tensors"]
    inputs = {name: np.array(GOLDEN["b2"][name]) for name in ("input_ids", "attention_mask")}
    states = run(model, inputs).last_hidden_state.detach().numpy()
    masked = run(model, inputs | {"head_mask": np.array(GOLDEN["b2"]["head_mask"])})
    masked_states = masked.last_hidden_state.detach().numpy()
    unpadded = states[inputs["attention_mask"] == 1]
    assert_golden(states[0, 0, :3], golden["out[0,0,:3]"], kind)
    assert_golden(states[1, 2, :3], golden["out[1,2,:3]"], kind)
    assert_golden(unpadded.sum(), golden["sum_unpadded"], kind)
    assert_golden(masked_states[0, 0, :3], golden["head_mask_out[0,0,:3]"], kind)


def check_golden_decoder(golden):
    kind = {"position_embedding_type": golden["position_embedding_type"]}
    model, _ = build(BertGenerationDecoder, CONFIG | AS_DECODER | kind)
    inputs = {name: np.array(GOLDEN["b2"][name]) for name in ("input_ids", "attention_mask")}
    logits = run(model, inputs | {"encoder_hidden_states": ENCODER_STATES}).logits.detach().numpy()
    assert_golden(logits[0, 0, :4], golden["logits[0,0,:4]"], "decoder")
    assert_golden(logits[0, 4, :4], golden["logits[0,4,:4]"], "decoder")


def main():
    transformers.logging.set_verbosity_error()
    for kind, golden in GOLDEN["b2"]["encoder"].items():
        check_golden_encoder(kind, golden)
    check_golden_decoder(GOLDEN["b2"]["decoder"])
    print("the golden numbers b2 hold")

    references = References()
    add_encoders_and_decoders(references)
    add_wide_decoder(references)
    add_encoder_decoder(references)
    references.save("v4_relative_positions.safetensors")


if __name__ == "__main__":
    main()
