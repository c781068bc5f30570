"""What the exercises are tried on, and the mistakes that have a sentence of their own.

Everything is random, layer norms included: with fresh ones, wrong backwards pass.
"""

import numpy as np
from mine.attention_cases import attention_cases, scaled_dot_product_cases, softmax_cases
from mine.row_cases import activation_cases, layer_norm_cases, linear_cases
from mine.search_cases import beam_search_cases, optimizer_cases, search_cases
from mine.word_cases import embedding_cases, feed_forward_cases, lm_head_cases, loss_cases

MAKERS = {
    "linear": linear_cases,
    "activations": activation_cases,
    "layer_norm": layer_norm_cases,
    "embeddings": embedding_cases,
    "softmax": softmax_cases,
    "scaled_dot_product": scaled_dot_product_cases,
    "attention": attention_cases,
    "feed_forward": feed_forward_cases,
    "lm_head": lm_head_cases,
    "loss": loss_cases,
    "optimizer": optimizer_cases,
    "search": search_cases,
    "beam_search": beam_search_cases,
}


def cases(name):
    """The cases of an exercise.

    Returns:
        list of Case, some for each function
    """
    return list(MAKERS[name](np.random.default_rng(3)))
