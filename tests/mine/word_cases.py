"""The cases of what words go through: embeddings, feed-forward, head, loss."""

import numpy as np
from mine.check import Case
from mine.sizes import ROWS, SETTINGS, B, F, H, P, T, V
from support import SmallSettings, linear_params, norm_params, sublayer_params

from minibert2bert.components.activations import activation
from minibert2bert.components.linear import linear
from minibert2bert.components.loss import IGNORE
from minibert2bert.components.residual import add_and_norm


def embedding_cases(rng):
    def overwritten(params, ids, padding_idx, dy):
        dweight = np.zeros_like(params["weight"])
        dweight[ids.reshape(-1)] = dy.reshape(-1, H)
        if padding_idx is not None:
            dweight[padding_idx] = 0
        return dweight

    def padding_learns(params, ids, padding_idx, dy):
        dweight = np.zeros_like(params["weight"])
        np.add.at(dweight, ids.reshape(-1), dy.reshape(-1, H))
        return dweight

    def added_once(table, ids, rows, dy):
        copy = table.copy()
        copy[ids] += rows
        return copy

    ids = rng.integers(0, V, (B, T))
    ids[0] = ids[1] = 2
    repeated = "keeps only one of the rows of an id that occurs several times: they add up"
    yield Case(
        "embedding",
        ({"weight": rng.standard_normal((V, H))}, ids, None),
        told=f"weight (V, H) = ({V}, {H}), ids (B, T) = ({B}, {T}) with repetitions",
        mistakes={"dparams.weight": {repeated: overwritten}},
    )
    yield Case(
        "embedding",
        ({"weight": rng.standard_normal((V, H))}, ids, 2),
        told="padding_idx = 2",
        mistakes={
            "dparams.weight": {"gives the padding's row a gradient: it has none": padding_learns}
        },
    )
    table, rows = rng.standard_normal((V, H)), rng.standard_normal((B, H))
    yield Case(
        "add_rows",
        (table, np.array([3, 1, 3, 10, 3]), rows),
        told="ids = 3, 1, 3, 10, 3",
        mistakes={"table": {repeated: added_once}},
    )
    dy = rng.standard_normal((B, T, H))
    yield Case("for_ids", (np.arange(T)[None], dy), told="ids (1, T)")
    yield Case("for_ids", (ids, dy), told="ids (B, T)")
    params = {
        "position_embeddings": {"weight": rng.standard_normal((P, H))},
        "LayerNorm": norm_params(rng, H),
    }
    for positions in (np.arange(T)[None], rng.integers(0, P, (B, T))):
        yield Case(
            "word_and_position_embeddings",
            (params, rng.standard_normal((B, T, H)), positions, SETTINGS),
            told=f"words (B, T, H), position_ids {positions.shape}",
            factors=ROWS,
        )


def feed_forward_cases(rng):
    def known(params, x, settings, dy):
        widened, _ = linear(params["intermediate"]["dense"], x)
        bent, _ = activation(settings.hidden_act)(widened)
        _, backward = add_and_norm(params["output"], bent, x, settings)
        _, dbent, dresidual = backward(dy)
        return {
            "the gradient of the residual path": dresidual,
            "the gradient at the activation's output": dbent,
        }

    params = {
        "intermediate": {"dense": linear_params(rng, F, H)},
        "output": sublayer_params(rng, H, F),
    }
    for act in ("gelu", "relu"):
        yield Case(
            "feed_forward_block",
            (params, rng.standard_normal((B, T, H)), SmallSettings(hidden_act=act)),
            told=f"hidden_states (B, T, H) = {(B, T, H)}, F = {F}, {act}, no dropout",
            factors=ROWS,
            known=known,
        )


def lm_head_cases(rng):
    x = rng.standard_normal((B, T, H))
    words = rng.standard_normal((V, H))
    told = f"hidden_states (B, T, H) = {x.shape}, V = {V}"
    yield Case(
        "tied_lm_head", ({"bias": rng.standard_normal(V)}, words, x), told=told, factors=ROWS
    )
    untied = {"decoder": linear_params(rng, V, H)}
    yield Case("untied_lm_head", (untied, x), told=told, factors=ROWS)
    transform = (linear_params(rng, H, H), norm_params(rng, H), x, "gelu", 1e-12)
    yield Case("head_transform", transform, told="act gelu, eps 1e-12", factors=ROWS)


def loss_cases(rng):
    def of_all(logits, labels, smoothing, dy):
        return counted(logits, labels) / labels.size

    def counted(logits, labels):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        chosen = np.where(labels == IGNORE, 0, labels)[..., None]
        losses = -np.take_along_axis(log_probs, chosen, -1)[..., 0]
        return (losses * (labels != IGNORE)).sum()

    def summed(logits, labels, smoothing, dy):
        return counted(logits, labels)

    def no_label(logits, labels, smoothing, dy):
        return dy / count * softmax(logits) * (labels != IGNORE)[..., None]

    logits = rng.standard_normal((B, T, V))
    labels = rng.integers(0, V, (B, T))
    labels[1, 2:] = labels[3, 1:] = IGNORE
    count = int((labels != IGNORE).sum())
    factors = {
        "the number of labels that count": count,
        "the number of all labels B T": B * T,
        "V": V,
    }
    mistakes = {
        "loss": {
            "divides by the number of all labels: only those that count": of_all,
            "is the sum over the labels: it is their mean": summed,
        },
        "dlogits": {"is the probabilities alone: take 1 off at each label": no_label},
    }
    for smoothing in (0.0, 0.1):
        yield Case(
            "cross_entropy",
            (logits, labels, smoothing),
            told=f"logits (B, T, V) = {logits.shape}, {count} of {B * T} labels count, "
            f"label_smoothing = {smoothing}",
            factors=factors,
            known=lambda *_: {"softmax(logits)": softmax(logits)},
            mistakes=mistakes if not smoothing else {},
        )
    yield Case("cross_entropy", (900 * logits, labels), told="logits of some hundreds")

    def not_replaced(labels, pad, start, dy):
        return np.concatenate([np.full((len(labels), 1), start), labels[:, :-1]], axis=1)

    kept = "keeps -100: the model cannot look that up, so put pad_token_id there"
    yield Case(
        "shift_tokens_right",
        (labels, 7, 8),
        told=f"labels (B, T) = {labels.shape} with -100 in them, pad 7, start 8",
        mistakes={"decoder_input_ids": {kept: not_replaced}},
    )


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
