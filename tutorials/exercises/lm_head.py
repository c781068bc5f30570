# An exercise of tutorials/08_decoder.py.
# Write what raises NotImplementedError, then run: pytest --mine lm_head
# Checksum of the untouched file: d3fcfed7

"""The language-model head: from hidden states to one score for each word."""

from minibert2bert.arrays import Array, Backward, Params
from minibert2bert.components.activations import activation
from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.components.linear import linear


def tied_lm_head(
    params: Params, word_embeddings: Array, hidden_states: Array
) -> tuple[Array, Backward]:
    """Score each word by the product of its own embedding with the hidden state.

    logits = hidden_states E^T + bias, where E is the table that also looked the words up
    (Press and Wolf, 2017, section 2)

    Args:
        params: bias (V,)
        word_embeddings: E (V, H)
        hidden_states: (..., H)

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dword_embeddings, dhidden_states
    """
    raise NotImplementedError("tied_lm_head is not written yet")

    def backward(dlogits: Array) -> tuple[Params, Array, Array]:
        raise NotImplementedError("the backward of tied_lm_head is not written yet")

    return ..., backward


def untied_lm_head(params: Params, hidden_states: Array) -> tuple[Array, Backward]:
    """Score each word by a weight of the head's own.

    logits = hidden_states W^T + bias

    Args:
        params: decoder.weight (V, H) and decoder.bias (V,)
        hidden_states: (..., H)

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dhidden_states
    """
    raise NotImplementedError("untied_lm_head is not written yet")

    def backward(dlogits: Array) -> tuple[Params, Array]:
        raise NotImplementedError("the backward of untied_lm_head is not written yet")

    return ..., backward


def lm_head(params: Params, word_embeddings: Array, hidden_states: Array) -> tuple[Array, Backward]:
    """Score each word, by the head's own weight if it has one and else by the word embeddings.

    Args:
        params: bias (V,) of a tied head, or decoder.weight (V, H) and decoder.bias (V,)
        word_embeddings: (V, H), used by a tied head
        hidden_states: (..., H)

    Returns:
        logits: (..., V)
        backward: dlogits -> dparams, dword_embeddings (None if they are not used), dhidden_states
    """
    if "decoder" not in params:
        return tied_lm_head(params, word_embeddings, hidden_states)
    logits, untied_backward = untied_lm_head(params, hidden_states)

    def backward(dlogits: Array) -> tuple[Params, None, Array]:
        dparams, dhidden_states = untied_backward(dlogits)
        return dparams, None, dhidden_states

    return logits, backward


def head_transform(
    dense: Params, norm: Params, hidden_states: Array, act: str, eps: float
) -> tuple[Array, Backward]:
    """Prepare the hidden states for the head, as BERT learnt it for masked words.

    y = layer_norm(act(dense(x)))
    (Devlin et al., 2019, by the code: the paper does not mention it)

    Args:
        dense: weight (H, H) and bias (H,)
        norm: weight (H,) and bias (H,)
        hidden_states: (..., H)
        act: the activation's name
        eps: added to the variance

    Returns:
        y: (..., H)
        backward: dy -> ddense, dnorm, dhidden_states
    """
    raise NotImplementedError("head_transform is not written yet")

    def backward(dy: Array) -> tuple[Params, Params, Array]:
        raise NotImplementedError("the backward of head_transform is not written yet")

    return ..., backward
