"""Store what transformers 5 computes with encoder-decoder models of two BertGeneration halves.

Run from the repository's root: python tests/references/make_v5_references.py
"""

from copy import deepcopy

import numpy as np
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
from transformers import EncoderDecoderConfig, EncoderDecoderModel

CONFIG = GOLDEN["b1_configs"]["bertgen2bertgen"]
GREEDY = {"num_beams": 1, "do_sample": False, "max_length": GOLDEN["b1_max_length"]}
RESULTS = ("sequences", "scores")
# generate() turns the logits into float32: its sums over up to nine steps may differ in the
# last bits on another machine. The largest difference seen is 2.0e-7 of a score.
SCORE_TOLERANCE = 4 * np.finfo(np.float32).eps
LEFT_PADDING = {
    "input_ids": [[5, 6, 7, 8, 9], [0, 0, 10, 11, 4]],
    "attention_mask": [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]],
    "decoder_input_ids": [[2, 4, 7, 9], [0, 0, 2, 12]],
    "decoder_attention_mask": [[1, 1, 1, 1], [0, 0, 1, 1]],
    "labels": [[4, 7, 9, 3], [-100, -100, 12, 3]],
}


def changed(encoder=None, decoder=None, **top):
    """Change some settings of the golden pair."""
    halves = {
        "encoder": CONFIG["encoder"] | (encoder or {}),
        "decoder": CONFIG["decoder"] | (decoder or {}),
    }
    return CONFIG | halves | top


CASES = {
    "bertgen2bertgen": CONFIG,
    "bertgen12_2bertgen8": changed(
        encoder={
            "hidden_size": 12,
            "num_attention_heads": 3,
            "num_hidden_layers": 1,
            "intermediate_size": 20,
            "max_position_embeddings": 12,
            "vocab_size": 17,
        }
    ),
    "untied_head": changed(decoder={"tie_word_embeddings": False}),
    "gelu_new_left_padding": changed({"hidden_act": "gelu_new"}, {"hidden_act": "gelu_new"}),
    # The first decoder input is then taken for padding: its row of attention is fully masked.
    "start_is_padding": changed(decoder_start_token_id=0),
}


def build(config):
    config = EncoderDecoderConfig(**deepcopy(config), attn_implementation="eager")
    model = EncoderDecoderModel(config)
    return model, set_recipe_weights(model)


def golden_inputs(config):
    inputs = {name: np.array(values) for name, values in GOLDEN["b1_inputs"].items()}
    padding = inputs["attention_mask"] == 0
    inputs["input_ids"] = np.where(padding, config["pad_token_id"], inputs["input_ids"])
    return inputs


def run(model, inputs):
    return model(
        **to_torch(inputs), use_cache=False, output_attentions=True, output_hidden_states=True
    )


def generation_settings(golden):
    """List the settings of the golden searches by name, without their results."""
    settings = {"greedy": GREEDY}
    for index, beams in enumerate(golden["beams"]):
        options = {name: value for name, value in beams.items() if name not in RESULTS}
        settings[f"beams_{index}"] = GREEDY | options
    return settings


def generate(model, config, inputs, settings):
    """Return sequences, padded after their ends, and of a beam search the scores (float32)."""
    ids = {name: config[name] for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    ids["decoder_start_token_id"] = config["decoder_start_token_id"]
    output = model.generate(
        **to_torch({name: inputs[name] for name in ("input_ids", "attention_mask")}),
        **(ids | settings),
        return_dict_in_generate=True,
        output_scores=True,
    )
    arrays = {"sequences": output.sequences.numpy()}
    if settings["num_beams"] > 1:
        arrays["sequences_scores"] = output.sequences_scores.numpy()
    return arrays


def check_golden_forward(golden, output, gradients):
    arrays = output_arrays(output)
    logits, states = arrays["logits"], arrays["encoder_hidden_states"][-1]
    actual = {
        "enc[0,0,:3]": states[0, 0, :3],
        "enc[1,2,:3]": states[1, 2, :3],
        "logits[0,0,:4]": logits[0, 0, :4],
        "logits[1,3,:4]": logits[1, 3, :4],
        "logits_sum": logits.sum(),
        "logits_sumsq": np.square(logits).sum(),
        "loss": arrays["loss"],
        "dec_attn_layer0[0,0,2,:]": arrays["decoder_attentions"][0, 0, 0, 2],
        "cross_attn_layer0[1,1,3,:]": arrays["cross_attentions"][0, 1, 1, 3],
        "grad_l2_total": np.sqrt(sum(np.square(g).sum() for g in gradients.values())),
    }
    for what, value in actual.items():
        assert_golden(value, golden[what], what)
    for name, expected in golden["grads"].items():
        assert_golden(np.linalg.norm(gradients[name]), expected["l2"], name)
        assert_golden(gradients[name].ravel()[:3], expected["first3"], name)


def cut(sequence, eos):
    """End a sequence with its first eos; the start token does not count."""
    sequence = sequence.tolist()
    return sequence[: sequence.index(eos, 1) + 1] if eos in sequence[1:] else sequence


def check_golden_model(name, golden):
    config = GOLDEN["b1_configs"][name]
    model, shapes = build(config)
    assert len(shapes) == golden["n_tensors"], name
    assert sum(np.prod(shape) for shape in shapes.values()) == golden["n_params"], name
    inputs = golden_inputs(config)
    output = run(model, inputs)
    check_golden_forward(golden, output, gradient_arrays(model, output.loss))
    for search, settings in generation_settings(golden).items():
        arrays = generate(model, config, inputs, settings)
        sequences = [cut(sequence, config["eos_token_id"]) for sequence in arrays["sequences"]]
        if search == "greedy":
            assert sequences == golden["greedy"], name
        else:
            expected = golden["beams"][int(search.removeprefix("beams_"))]
            assert sequences == expected["sequences"], (name, search)
            scores = arrays["sequences_scores"]
            assert_golden(scores, expected["scores"], f"{name} {search}", SCORE_TOLERANCE, atol=0)


def add_case(references, case, config):
    inputs = golden_inputs(config)
    if case == "gelu_new_left_padding":
        inputs = {name: np.array(values) for name, values in LEFT_PADDING.items()}
    model, shapes = build(config)
    output = run(model, inputs)
    settings = generation_settings(GOLDEN["b1"]["bertgen2bertgen"])
    generation = {
        f"{search}/{name}": array
        for search, options in settings.items()
        for name, array in generate(model, config, inputs, options).items()
    }
    references.add(
        case,
        shapes,
        {"class": "EncoderDecoderModel", "config": config, "generation": settings},
        inputs=inputs,
        outputs=output_arrays(output),
        gradients=gradient_arrays(model, output.loss),
        generation=generation,
    )


def main():
    transformers.logging.set_verbosity_error()
    for name, golden in GOLDEN["b1"].items():
        check_golden_model(name, golden)
        print(f"the golden numbers b1 of {name} hold")

    references = References()
    for case, config in CASES.items():
        add_case(references, case, config)
    references.save("v5_encoder_decoder.safetensors")


if __name__ == "__main__":
    main()
