"""The language-model head: from hidden states to one score for each word."""

from minibert2bert.arrays import Array, Backward, Params
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
    tied = {"weight": word_embeddings, "bias": params["bias"]}
    logits, linear_backward = linear(tied, hidden_states)

    def backward(dlogits: Array) -> tuple[Params, Array, Array]:
        dtied, dhidden_states = linear_backward(dlogits)
        return {"bias": dtied["bias"]}, dtied["weight"], dhidden_states

    return logits, backward


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
    logits, linear_backward = linear(params["decoder"], hidden_states)

    def backward(dlogits: Array) -> tuple[Params, Array]:
        ddecoder, dhidden_states = linear_backward(dlogits)
        return {"decoder": ddecoder}, dhidden_states

    return logits, backward
