"""The cases of the exercises that are no components: a step of AdamW, greedy and beam search."""

import functools
import importlib

import numpy as np
from mine.check import Case

EOS, PAD, V = 1, 0, 9
B, K = 3, 2


def optimizer_cases(rng):
    def some():
        return {"weight": rng.standard_normal((4, 6)), "bias": rng.standard_normal(6)}

    def three_steps(module, params, gradients):
        moved = {name: array.copy() for name, array in params.items()}
        optimizer = module.AdamW(moved, 0.1, (0.8, 0.9), eps=0.2, weight_decay=0.3)
        for share in (1.0, -2.0, 0.5):
            optimizer.step({name: share * array for name, array in gradients.items()})
        return moved

    params, gradients = some(), some()
    decayed = {"is decayed: what has one axis is not": {"decay_all": True}}
    both = {
        "lacks the division of the moments by 1 - beta^t": {"correct": False},
        "adds eps under the root: it comes after": {"eps_inside": True},
        "lacks the decay: weights with two axes lose rate * decay of themselves": {"decay": 0.0},
    }
    output = "the parameters after three steps"
    yield Case(
        "AdamW._move_block",
        (params, gradients),
        told="lr 0.1, betas 0.8 and 0.9, eps 0.2, decay 0.3, three steps",
        call=three_steps,
        output=output,
        mistakes={
            f"{output}.{name}": {
                text: functools.partial(adamw_in_formulas, name, **change)
                for text, change in {**both, **(decayed if name == "bias" else {})}.items()
            }
            for name in params
        },
    )
    for longest in (0.5, 100.0):
        yield Case("clip_by_global_norm", (gradients, longest), told=f"max_norm = {longest}")


def adamw_in_formulas(
    name, params, gradients, dy, correct=True, eps_inside=False, decay=0.3, decay_all=False
):
    """Three steps by the formula, each of whose parts can be got wrong."""
    p, m, v = params[name].copy(), 0.0, 0.0
    for t, share in enumerate((1.0, -2.0, 0.5), start=1):
        g = share * gradients[name]
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
        mean, square = (m / (1 - 0.8**t), v / (1 - 0.9**t)) if correct else (m, v)
        root = np.sqrt(square + 0.2) if eps_inside else np.sqrt(square) + 0.2
        share_lost = decay if p.ndim > 1 or decay_all else 0.0
        p = p - 0.1 * (mean / root + share_lost * p)
    return p


def settings_and_criteria(**options):
    """What a search of the package gets, for prompts of one token."""
    config = importlib.import_module("minibert2bert.generation.config").GenerationConfig
    resolve = importlib.import_module("minibert2bert.generation.settings").resolve
    stopping = importlib.import_module("minibert2bert.generation.stopping").stopping_criteria
    options = {"eos_token_id": EOS, "pad_token_id": PAD, "max_length": 8, **options}
    settings = resolve(config(**options), 1)
    return settings, stopping(settings)


def search_cases(rng):
    settings, criteria = settings_and_criteria()
    endless, until_full = settings_and_criteria(eos_token_id=None)
    ids = rng.integers(2, V, (4, 3))
    finished = np.array([False, True, False, False])
    scores = rng.standard_normal((4, V))
    scores[2, EOS] = scores[3, [4, 7]] = 9.0

    def state(module):
        return module.SearchState(ids, finished)

    def step(module, scores):
        return module.greedy_step(state(module), scores, criteria, settings)

    def chosen(module, tokens):
        return module.with_tokens(state(module), tokens, criteria, settings)

    def chosen_without_end(module, tokens):
        return module.with_tokens(state(module), tokens, until_full, endless)

    def never_pads(tokens, dy):
        return np.concatenate([ids, tokens[:, None]], axis=1)

    tokens = np.array([3, 4, EOS, 6])
    forgotten = "lets a finished row go on: it gets pad"
    yield Case(
        "greedy_step", (scores,), told="row 1 finished, row 2 ends, row 3 with a tie", call=step
    )
    yield Case(
        "with_tokens",
        (tokens,),
        told="row 1 finished, row 2 gets the end token",
        call=chosen,
        mistakes={"ids": {forgotten: never_pads}},
        output="ids",
    )
    yield Case("with_tokens", (tokens,), told="no end token", call=chosen_without_end)
    for setting, told in ((settings, "an end token"), (endless, "no end token")):
        yield Case("is_writing", (finished, setting), told=told, output="writing")


def beam_search_cases(rng):
    def sorted_out(module, scores, closed, **options):
        settings, criteria = settings_and_criteria(num_beams=K, **options)
        hypotheses = importlib.import_module("minibert2bert.generation.hypotheses").Hypotheses
        many = np.arange(2 * K)
        candidates = hypotheses(
            ids=tokens,
            scores=scores,
            beam_indices=np.broadcast_to(many % K, (B, 2 * K))[:, :, None],
            log_probs=scores[:, :, None],
        )
        start = module.start_beams(np.full((B, 1), 5), K)
        before = module.BeamState(start.running, start.finished, closed)
        after = module.sort_out(before, candidates, criteria, settings)
        return {
            "running": parts(after.running),
            "finished": parts(after.finished),
            "done": after.done,
        }

    def parts(hypotheses):
        return {"ids": hypotheses.ids, "scores": hypotheses.scores}

    tokens = np.full((B, 2 * K, 2), 5)
    tokens[:, :, 1] = [[3, EOS, 4, 6], [3, 4, EOS, 6], [EOS, EOS, 3, 4]]
    scores = -np.sort(rng.random((B, 2 * K))).astype(np.float32)
    yield Case("start_beams", (np.array([[5, 6], [7, 8]]), K), told="two prompts, K = 2")
    for options in ({}, {"early_stopping": True}, {"length_penalty": 2.0}):
        yield Case(
            "sort_out",
            (scores, np.array([False, False, False])),
            told=f"K = 2, in input 0 candidate 1 ends, in 1 candidate 2, in 2 both {options or ''}",
            call=functools.partial(sorted_out, **options),
            output="state",
        )
    closed = np.array([True, False, True])
    yield Case(
        "sort_out",
        (scores, closed),
        told="inputs 0 and 2 are done",
        call=sorted_out,
        output="state",
    )
    best = np.array([-3.0, -6.0, -np.inf, -3.0, -1.8, -5.9])
    worst = np.array([-1.0, -1.0, -1.0, -np.inf, -0.8, -0.8])
    for early in (False, True, "never"):
        settings, _ = settings_and_criteria(num_beams=K, early_stopping=early)
        yield Case(
            "is_settled", (best, worst, 2, settings), told=f"early_stopping {early}, 2 steps so far"
        )
    logits = rng.standard_normal((4, V))
    yield Case("log_softmax", (logits,), told=f"logits {logits.shape}", output="log_probs")
    yield Case("log_softmax", (900 * logits,), told="logits of some hundreds", output="log_probs")
