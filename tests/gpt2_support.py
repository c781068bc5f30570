"""Small GPT-2 models with random weights, for the tests of its layers and of the whole."""

import numpy as np
from model_support import padded_mask, randomised

from minibert2bert.models.config import GPT2Config
from minibert2bert.models.gpt2 import GPT2LMHeadModel

EXACT = 1e-12
V, H, N, L, B, T, S = 17, 8, 2, 2, 3, 5, 4
SIZES = {"vocab_size": V, "n_positions": 16, "n_embd": H, "n_layer": L, "n_head": N}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
DROPOUT = {"resid_pdrop": 0.2, "embd_pdrop": 0.1, "attn_pdrop": 0.3}
CROSS = {"add_cross_attention": True}
SCALES = [
    {},
    {"scale_attn_weights": False},
    {"scale_attn_by_inverse_layer_idx": True},
    {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
]


def small_gpt2(kind=GPT2LMHeadModel, seed=0, **changes):
    rng = np.random.default_rng(seed)
    config = GPT2Config(**{**SIZES, **NO_DROPOUT, **changes})
    return randomised(kind(config, rng, "float64"), rng)


def encoder_inputs(rng):
    states = rng.standard_normal((B, S, H))
    return {"encoder_hidden_states": states, "encoder_attention_mask": padded_mask(rng, B, S)}


def normed(params, x):
    """Layer norm by its formula."""
    centered = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.square(centered).mean(axis=-1, keepdims=True) + 1e-5)
    return params["weight"] * centered / deviation + params["bias"]
