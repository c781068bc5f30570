"""Small models with random weights, and batches for them, for the tests of whole models."""

import numpy as np

from minibert2bert.components.activations import ACTIVATIONS
from minibert2bert.components.loss import IGNORE
from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder
from minibert2bert.models.config import BertGenerationConfig, EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

PAD, END, START = 0, 1, 2
FIRST_WORD = 3
SIZES = {
    "vocab_size": 17,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": PAD,
    "eos_token_id": END,
    "bos_token_id": START,
}
AS_DECODER = {"is_decoder": True, "add_cross_attention": True}
TOP = {
    "pad_token_id": PAD,
    "decoder_start_token_id": START,
    "bos_token_id": START,
    "eos_token_id": END,
}


def small_config(**changes):
    return BertGenerationConfig(**{**SIZES, **changes})


def small_encoder(seed=0, dtype="float64", **changes):
    rng = np.random.default_rng(seed)
    return randomised(BertGenerationEncoder(small_config(**changes), rng, dtype), rng)


def small_decoder(seed=0, dtype="float64", **changes):
    rng = np.random.default_rng(seed)
    config = small_config(**{**AS_DECODER, **changes})
    return randomised(BertGenerationDecoder(config, rng, dtype), rng)


def small_pair(seed=0, dtype="float64", encoder=None, decoder=None, both=None, **top):
    """An encoder-decoder with random weights; the keywords change its config and its parts'."""
    config = EncoderDecoderConfig.from_encoder_decoder_configs(
        small_config(**{**(both or {}), **(encoder or {})}),
        small_config(**{**(both or {}), **(decoder or {})}),
        **{**TOP, **top},
    )
    rng = np.random.default_rng(seed)
    return randomised(EncoderDecoderModel(config, rng=rng, dtype=dtype), rng)


def randomised(model, rng, std=0.3):
    """Draw every parameter, layer norms and biases included: with fresh ones, errors hide."""
    for name, array in model.parameters().items():
        middle = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        array[...] = rng.normal(middle, std, array.shape)
    return model


def set_weights(model, weights):
    """Copy arrays into the model's own, by name."""
    for name, array in model.parameters().items():
        array[...] = weights[name]


def padded_mask(rng, batch, length, side="right"):
    """A mask (batch, length) of 1 and 0 whose first row is full, the others padded on a side."""
    visible = rng.integers(1, length + 1, (batch, 1))
    visible[0] = length
    mask = (np.arange(length) < visible).astype(np.int64)
    return mask if side == "right" else mask[:, ::-1].copy()


def words(rng, *shape, vocab_size=SIZES["vocab_size"]):
    """Ids that are neither padding nor start nor end."""
    return rng.integers(FIRST_WORD, vocab_size, shape)


def small_batch(seed=0, batch=3, source=5, target=4):
    """Sources and labels as model.loss takes them, with padding on the right of both."""
    rng = np.random.default_rng(seed)
    attention_mask = padded_mask(rng, batch, source)
    counted = padded_mask(rng, batch, target)
    return {
        "input_ids": np.where(attention_mask == 1, words(rng, batch, source), PAD),
        "attention_mask": attention_mask,
        "labels": np.where(counted == 1, words(rng, batch, target), IGNORE),
    }


def some(rng, values):
    return values[int(rng.integers(len(values)))]


def draw_config(rng, **changes):
    """A config of random sizes, with any activation; the keywords fix some of it."""
    heads = int(rng.integers(1, 5))
    sizes = {
        "vocab_size": int(rng.integers(8, 20)),
        "hidden_size": heads * int(rng.integers(4, 7)),
        "num_attention_heads": heads,
        "num_hidden_layers": int(rng.integers(1, 4)),
        "intermediate_size": int(rng.integers(4, 25)),
        "hidden_act": some(rng, list(ACTIVATIONS)),
        "max_position_embeddings": int(rng.integers(16, 20)),
        "layer_norm_eps": some(rng, [1e-12, 1e-5]),
        "pad_token_id": some(rng, [None, PAD, 5]),
        "tie_word_embeddings": bool(rng.integers(2)),
    }
    return BertGenerationConfig(**{**sizes, **changes})


def draw_pair(rng, **top):
    """An encoder-decoder of random parts, of equal widths every other time."""
    encoder = draw_config(rng)
    shared = ["hidden_size", "num_attention_heads"] if rng.random() < 0.5 else []
    decoder = draw_config(rng, **{name: getattr(encoder, name) for name in shared})
    config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, **{**TOP, **top})
    return randomised(EncoderDecoderModel(config, rng=rng, dtype="float64"), rng)


def draw_mask(rng, batch, length):
    """No mask, or padding on the right, on the left, or anywhere; the first row sees all."""
    anywhere = rng.integers(0, 2, (batch, length))
    anywhere[0] = 1
    sides = [padded_mask(rng, batch, length, side) for side in ("left", "right")]
    return some(rng, [None, anywhere, *sides])


def draw_inputs(rng, config, batch, length):
    """What a stack reads: ids or embeddings, and perhaps a mask and positions."""
    inputs = {"attention_mask": draw_mask(rng, batch, length)}
    if rng.random() < 0.75:
        inputs["input_ids"] = rng.integers(0, config.vocab_size, (batch, length))
    else:
        inputs["inputs_embeds"] = rng.standard_normal((batch, length, config.hidden_size))
    if rng.random() < 0.3:
        shape = (some(rng, [1, batch]), length)
        inputs["position_ids"] = rng.integers(0, config.max_position_embeddings, shape)
    return {name: value for name, value in inputs.items() if value is not None}


def draw_labels(rng, config, batch, length):
    """Words, and to their right, to their left or among them nothing to predict."""
    labels = words(rng, batch, length, vocab_size=config.vocab_size)
    mask = draw_mask(rng, batch, length)
    return labels if mask is None else np.where(mask == 1, labels, IGNORE)


def draw_pair_inputs(rng, config):
    """A source, and labels alone, or labels with the decoder's own input."""
    batch, source, target = rng.integers(1, 5), rng.integers(2, 8), rng.integers(2, 8)
    inputs = draw_inputs(rng, config.encoder, batch, source)
    inputs["labels"] = draw_labels(rng, config.decoder, batch, target)
    decoder_inputs = draw_inputs(rng, config.decoder, batch, target)
    if rng.random() < 0.5:
        decoder_inputs.pop("input_ids", None)
        decoder_inputs.pop("inputs_embeds", None)
    return inputs | {f"decoder_{name}": value for name, value in decoder_inputs.items()}


def assert_equal_dicts(actual, expected):
    """The same names, and the same numbers to the last bit."""
    assert sorted(actual) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name, strict=True)


def largest(array):
    return float(np.abs(array).max())


def assert_close(actual, expected, relative, scale=None, name=""):
    """Differ by at most `relative` times the largest element of expected, or times scale."""
    expected = np.asarray(expected)
    limit = relative * (largest(expected) if scale is None else scale)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit, err_msg=name)


def trimmed(sequences, *fillers):
    """The rows of generated ids as lists, without the ids to fill up with at their ends."""
    rows = [list(row) for row in np.asarray(sequences).tolist()]
    for row in rows:
        while len(row) > 1 and row[-1] in fillers:
            row.pop()
    return rows


def ended(sequences, end=END):
    """The rows as lists, each cut after its first end token; the start token does not count."""
    rows = np.asarray(sequences).tolist()
    return [row[: row.index(end, 1) + 1] if end in row[1:] else row for row in rows]
