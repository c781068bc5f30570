"""Whole runs of train against torch's optimizers on the models of transformers."""

import numpy as np
import pytest
from model_support import assert_close, set_weights
from parity_support import FLOAT64, Reference, quietly
from training_support import random_pairs, run, tiny_model

from minibert2bert.training.batches import make_batch

pytestmark = pytest.mark.parity

SETTINGS = {
    "learning_rate": 1e-3,
    "train_batch_size": 12,
    "weight_decay": 0.05,
    "adam_beta1": 0.8,
    "adam_beta2": 0.95,
    "max_grad_norm": None,
    "dropout": False,
    "warmup_steps": 2,
}
BETAS = (0.8, 0.95)


def reference_of(model, tied):
    """Our model in transformers; tied halves are one parameter in two places there, too."""
    untied = tiny_model(tie_word_embeddings=model.config.decoder.tie_word_embeddings)
    set_weights(untied, model.parameters())
    reference = Reference(untied)
    parameters = dict(reference.model.named_parameters())
    first_names = {}
    for name, array in reversed(model.parameters().items()) if tied else ():
        first = first_names.setdefault(id(array), name)
        *path, leaf = name.split(".")
        setattr(reference.model.get_submodule(".".join(path)), leaf, parameters[first])
    return reference


def train_reference(reference, pairs, steps, make_optimizer, scheduler):
    """Take steps with all pairs in each; return what the parameters have become."""
    from transformers import get_scheduler

    optimizer = make_optimizer(list(reference.model.parameters()))
    schedule = get_scheduler(scheduler, optimizer, SETTINGS["warmup_steps"], steps)
    for _ in range(steps):
        optimizer.zero_grad()
        reference(**make_batch(pairs, 0)).loss.backward()
        optimizer.step()
        quietly(schedule.step)
    found = dict(reference.model.named_parameters(remove_duplicate=False))
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def adamw(parameters):
    import torch

    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=BETAS)


def adam(parameters):
    import torch

    return torch.optim.Adam(parameters, lr=1e-3, betas=BETAS)


def assert_equal_parameters(model, theirs):
    for name, array in model.parameters().items():
        assert_close(array, theirs[name], FLOAT64, name=name)


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("tied_words", [False, True])
@pytest.mark.parametrize("scheduler", ["constant", "linear"])
def test_steps_of_adamw_are_those_of_torch(rng, steps, tied, tied_words, scheduler):
    model = tiny_model(int(rng.integers(10**6)), tied, tie_word_embeddings=tied_words)
    pairs = random_pairs(12, int(rng.integers(10**6)))
    before = {name: array.copy() for name, array in model.parameters().items()}
    reference = reference_of(model, tied)
    run(model, pairs, {**SETTINGS, "max_steps": steps, "lr_scheduler_type": scheduler})
    theirs = train_reference(reference, pairs, steps, adamw, scheduler)
    assert_equal_parameters(model, theirs)
    moved = any((array != before[name]).any() for name, array in model.parameters().items())
    # The first step of a warm-up has a learning rate of 0.
    assert moved == (steps > 1 or scheduler == "constant")


def test_ten_steps_of_adam_in_micro_batches_are_those_of_torch(rng):
    model = tiny_model(int(rng.integers(10**6)))
    pairs = random_pairs(12, int(rng.integers(10**6)))
    reference = reference_of(model, tied=False)
    changes = {"optim": "adam", "weight_decay": 0.0, "gradient_accumulation_steps": 5}
    run(model, pairs, {**SETTINGS, **changes, "max_steps": 10, "lr_scheduler_type": "constant"})
    assert_equal_parameters(model, train_reference(reference, pairs, 10, adam, "constant"))


def test_a_checkpoint_loads_in_transformers_to_the_last_bit(tmp_path):
    import torch
    from transformers import EncoderDecoderModel

    model = tiny_model()
    run(model, random_pairs(12), {"max_steps": 2}, output_dir=tmp_path)
    for folder in (tmp_path, tmp_path / "checkpoint-2"):
        theirs = quietly(EncoderDecoderModel.from_pretrained, folder, dtype=torch.float64)
        found = dict(theirs.named_parameters())
        for name, array in model.parameters().items():
            np.testing.assert_array_equal(array, found[name].detach().numpy(), err_msg=name)
