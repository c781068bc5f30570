"""What a learner might write: plain right answers, to be spoilt by the tests of the checker."""

ANSWERS = {
    "linear": """
def linear(params, x):
    weight = params["weight"]
    y = x @ weight.T + params.get("bias", 0)

    def backward(dy):
        rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        dparams = {"weight": drows.T @ rows}
        if "bias" in params:
            dparams["bias"] = drows.sum(axis=0)
        return dparams, dy @ weight

    return y, backward
""",
    "activations": """
def sigmoid(x):
    y = 0.5 + 0.5 * np.tanh(x / 2)
    return y, lambda dy: dy * y * (1 - y)
""",
    "layer_norm": """
def layer_norm(params, x, eps):
    weight = params["weight"]
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)
    inv_std = 1 / np.sqrt(variance + eps)
    x_hat = centered * inv_std

    def backward(dy):
        rows = tuple(range(dy.ndim - 1))
        dparams = {"weight": (dy * x_hat).sum(axis=rows), "bias": dy.sum(axis=rows)}
        dx_hat = dy * weight
        ones = dx_hat.mean(axis=-1, keepdims=True)
        along = x_hat * (dx_hat * x_hat).mean(axis=-1, keepdims=True)
        return dparams, inv_std * (dx_hat - ones - along)

    return x_hat * weight + params["bias"], backward
""",
    "embeddings": """
def embedding(params, ids, padding_idx=None):
    weight = params["weight"]

    def backward(dy):
        dweight = np.zeros_like(weight)
        np.add.at(dweight, ids, dy)
        if padding_idx is not None:
            dweight[padding_idx] = 0
        return {"weight": dweight}

    return weight[ids], backward
""",
    "softmax": """
def masked_softmax(scores, mask, zero_fully_masked=False):
    shifted = scores if mask is None else hide(scores, mask)
    weights = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    probs = weights / weights.sum(axis=-1, keepdims=True)
    if zero_fully_masked and mask is not None:
        probs = probs * mask.any(axis=-1, keepdims=True)

    def backward(dprobs):
        return probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))

    return probs, backward
""",
    "scaled_dot_product": """
def scaled_dot_product(query, key):
    scale = 1 / math.sqrt(query.shape[-1])

    def backward(dscores):
        dquery, dkey = dscores @ key * scale, dscores.swapaxes(-1, -2) @ query * scale
        return dquery, dkey

    return query @ key.swapaxes(-1, -2) * scale, backward
""",
    "attention": """
def split_heads(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)

def merge_heads(x):
    swapped = x.swapaxes(1, 2)
    return swapped.reshape(*swapped.shape[:2], -1)

def multi_head_attention(
    params, hidden_states, key_value_states, mask, config, rng=None, head_mask=None
):
    sources = {"query": hidden_states, "key": key_value_states, "value": key_value_states}
    projected = {name: linear(params[name], states) for name, states in sources.items()}
    heads = [split_heads(y, config.num_attention_heads) for y, _ in projected.values()]
    context, heads_backward = attention_heads(params, *heads, mask, config, rng, head_mask)

    def backward(dcontext):
        table, *dheads = heads_backward(split_heads(dcontext, config.num_attention_heads))
        backwards = [part_backward for _, part_backward in projected.values()]
        parts = [b(merge_heads(d)) for b, d in zip(backwards, dheads)]
        dparams = dict(zip(sources, [dparams for dparams, _ in parts]))
        by_query, by_key, by_value = [dstates for _, dstates in parts]
        return {**dparams, **table}, by_query, by_key + by_value

    return merge_heads(context), backward
""",
    "feed_forward": """
def feed_forward_block(params, hidden_states, config, rng=None):
    widened, dense_backward = linear(params["intermediate"]["dense"], hidden_states)
    bent, bent_backward = activation(config.hidden_act)(widened)
    y, output_backward = add_and_norm(params["output"], bent, hidden_states, config, rng)

    def backward(dy):
        doutput, dbent, dresidual = output_backward(dy)
        ddense, dx = dense_backward(bent_backward(dbent))
        return {"intermediate": {"dense": ddense}, "output": doutput}, dx + dresidual

    return y, backward
""",
    "lm_head": """
def tied_lm_head(params, word_embeddings, hidden_states):
    def backward(dlogits):
        V, H = word_embeddings.shape
        rows = dlogits.reshape(-1, V)
        dwords = rows.T @ hidden_states.reshape(-1, H)
        return {"bias": rows.sum(axis=0)}, dwords, dlogits @ word_embeddings

    return hidden_states @ word_embeddings.T + params["bias"], backward
""",
    "loss": """
def cross_entropy(logits, labels, label_smoothing=0.0):
    counted = labels != IGNORE
    count, V = counted.sum(), logits.shape[-1]
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    target = (np.arange(V) == labels[..., None]).astype(logits.dtype)
    target = (1 - label_smoothing) * target + label_smoothing / V
    losses = -(target * log_probs).sum(axis=-1) * counted

    def backward(dloss=1.0):
        dlogits = np.exp(log_probs) - target
        return (dlogits * counted[..., None] * (dloss / int(count))).astype(logits.dtype)

    return losses.sum() / int(count), backward

def shift_tokens_right(labels, pad_token_id, decoder_start_token_id):
    shifted = np.roll(labels, 1, axis=1)
    shifted[:, 0] = decoder_start_token_id
    return np.where(shifted == IGNORE, pad_token_id, shifted)
""",
    "optimizer": """
class AdamW(AdamW):
    def _move_block(self, parameter, gradient, mean, square, rate):
        beta1, beta2 = self.betas
        mean[...] = beta1 * mean + (1 - beta1) * gradient
        square[...] = beta2 * square + (1 - beta2) * gradient**2
        m, v = mean / (1 - beta1**self.steps), square / (1 - beta2**self.steps)
        step = m / (np.sqrt(v) + self.eps)
        decay = self.weight_decay if parameter.ndim > 1 else 0
        parameter -= rate * (step + decay * parameter)
""",
    "search": """
def with_tokens(state, tokens, criteria, settings):
    writing = ~state.finished | (not settings.eos_token_id)
    tokens = np.where(writing, tokens, settings.pad_token_id)
    ids = np.concatenate([state.ids, tokens[:, None]], axis=1)
    return SearchState(ids, state.finished | is_finished(criteria, ids))
""",
    "beam_search": """
def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

def is_settled(best_running, worst_finished, steps, settings):
    if settings.early_stopping is True:
        return np.isfinite(worst_finished) | np.isinf(best_running)
    longest = settings.early_stopping == "never" and settings.length_penalty > 0
    length = settings.max_length - settings.prompt_length if longest else steps
    return worst_finished >= best_running / length**settings.length_penalty
""",
}
