"""Forward pass, loss and training step beside transformers: the same weights, the same batch.

    python -m tests.benchmarks.training --sizes tiny small base --repeats 10 --threads 2

`forward` computes the logits of every position, `loss` takes the loss of a batch and stops there;
a training step is loss, gradients and AdamW. First the two sides must agree, then they take turns,
with both attentions of transformers, of which the faster counts. The first ratio is that of the
medians, the second that of the fastest runs, which a busy machine disturbs less. Needs the extra
`parity`.
"""

import argparse

import numpy as np

from minibert2bert.components.loss import IGNORE, shift_tokens_right
from minibert2bert.training.optimizer import AdamW
from tests.benchmarks.models import (
    ATTENTIONS,
    PAD,
    SIZES,
    START,
    build_ours,
    build_theirs,
    interleaved,
    medians,
    minima,
    peak_memory,
    random_batch,
    to_tensors,
    use_threads,
    use_torch_threads,
)

LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.01
WORKLOADS = ("forward", "loss", "train", "train with dropout")
LOGIT_TOLERANCE = 1e-4
"""Of numbers near 1 after 24 layers in float32."""
LOSS_TOLERANCE = 1e-5
"""Relative, of a mean over some hundred float32 numbers near 10."""


def without_labels(batch):
    """The decoder's input itself instead of the labels that it is made from."""
    others = {name: array for name, array in batch.items() if name != "labels"}
    return {**others, "decoder_input_ids": shift_tokens_right(batch["labels"], PAD, START)}


def our_workload(name, model, batch):
    """A function without arguments that does the work once, and returns logits or loss."""
    if name == "forward":
        inputs = without_labels(batch)
        return lambda: model(**inputs).logits
    if name == "loss":
        return lambda: float(model.loss(**batch)[0])
    optimizer = AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    rng = np.random.default_rng(0) if name == "train with dropout" else None

    def step():
        loss, backward = model.loss(**batch, rng=rng)
        optimizer.step(backward())
        return float(loss)

    return step


def their_workload(name, model, batch):
    """The same with transformers, and with torch's fused AdamW, its fastest."""
    import torch

    tensors = to_tensors(without_labels(batch) if name == "forward" else batch)
    if name in ("forward", "loss"):

        def evaluate():
            with torch.inference_mode():
                output = model(**tensors, use_cache=False)
                return output.logits.numpy() if name == "forward" else output.loss.item()

        return evaluate
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, LEARNING_RATE, fused=True)

    def step():
        model.train(name == "train with dropout")
        optimizer.zero_grad()
        loss = model(**tensors, use_cache=False).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def assert_equal_work(size):
    """The same logits and losses, and the same parameters after one step without dropout."""
    ours, batch = build_ours(size), random_batch(size)
    before = {name: array.copy() for name, array in ours.parameters().items()}
    theirs = build_theirs(size, weights=before)

    def results(name):
        return our_workload(name, ours, batch)(), their_workload(name, theirs, batch)()

    np.testing.assert_allclose(*results("forward"), rtol=0, atol=LOGIT_TOLERANCE)
    for name in ("loss", "train"):
        np.testing.assert_allclose(*results(name), rtol=LOSS_TOLERANCE, err_msg=name)
    moved = {name: p.detach().numpy() for name, p in theirs.named_parameters() if name in before}
    differing = total = 0
    for name, parameter in ours.parameters().items():
        # Softmax does not see a key's bias: its gradient is rounding, which Adam makes large.
        if not name.endswith("key.bias"):
            differing += (np.abs(parameter - moved[name]) > 0.01 * LEARNING_RATE).sum()
            total += parameter.size
    # The first step of Adam is a gradient's sign: it tells of a gradient near its rounding, too.
    assert differing < 1e-3 * total, f"{differing} of {total} parameters moved differently"


def measure(size, name, repeats):
    """The times of ours and of both attentions of transformers, from a name to seconds."""
    ours, batch = build_ours(size), random_batch(size)
    workloads = {"ours": our_workload(name, ours, batch)}
    for attention in ATTENTIONS:
        theirs = build_theirs(size, attention, ours.parameters())
        workloads[attention] = their_workload(name, theirs, batch)
    return interleaved(workloads, repeats)


def peak_of(side, size, name):
    """The peak of memory of a process that does the work three times, in MiB."""
    build = {"our": "build_ours", "their": "build_theirs"}[side]
    return peak_memory(
        f"from tests.benchmarks import models, training\n"
        f"model, batch = models.{build}({size!r}), models.random_batch({size!r})\n"
        f"work = training.{side}_workload({name!r}, model, batch)\n"
        f"for _ in range(3): work()"
    )


def print_row(size, name, repeats):
    targets = (random_batch(size)["labels"] != IGNORE).sum()
    times = measure(size, name, repeats)
    ours, sdpa, eager = (1e3 * medians(times)[side] for side in ("ours", *ATTENTIONS))
    best = minima(times)
    of_best = min(best[side] for side in ATTENTIONS) / best["ours"]
    memory = peak_of("our", size, name), peak_of("their", size, name)
    print(
        f"{size:6} {name:19} {ours:9.1f} {sdpa:9.1f} {eager:9.1f} {min(sdpa, eager) / ours:6.2f} "
        f"{of_best:8.2f} {1e3 * targets / ours:10.0f} {memory[0]:9.0f} {memory[1]:11.0f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    use_threads(options.threads)
    use_torch_threads(options.threads)
    print(
        "size   workload              ours ms   sdpa ms  eager ms  ratio  of best  targets/s",
        end=" ",
    )
    print(" ours MiB  theirs MiB", flush=True)
    for size in options.sizes:
        assert_equal_work(size)
        for name in options.workloads:
            print_row(size, name, options.repeats)


if __name__ == "__main__":
    main()
