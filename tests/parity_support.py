"""transformers beside our models: the same weights, and comparisons of what comes out."""

import warnings

import numpy as np
from model_support import assert_close, largest, set_weights

FLOAT64, FLOAT32 = 1e-10, 1e-5
EXTRAS = {"output_attentions": True, "output_hidden_states": True}
STACK_FIELDS = ["hidden_states", "attentions"]
PAIR_FIELDS = [
    "loss",
    "logits",
    "decoder_hidden_states",
    "decoder_attentions",
    "cross_attentions",
    "encoder_last_hidden_state",
    "encoder_hidden_states",
    "encoder_attentions",
]


class Reference:
    """transformers, with the weights and the config of one of our models."""

    def __init__(self, ours):
        import torch
        import transformers

        self.torch = torch
        config_class = getattr(transformers, ours.config_class.__name__)
        config = config_class(**ours.config.to_dict(), attn_implementation="eager")
        self.model = getattr(transformers, type(ours).__name__)(config).eval()
        self.model.to(getattr(torch, str(ours.like.dtype)))
        theirs = dict(self.model.named_parameters())
        # An untied head has a second bias in version 5, which is not used.
        unused = {n for n in theirs if n.endswith(("lm_head.bias", "predictions.bias"))}
        assert set(theirs) - unused == set(ours.parameters()) - unused
        for name, array in ours.parameters().items():
            theirs[name].data.copy_(torch.from_numpy(array))

    def __call__(self, **inputs):
        tensors = {name: self.tensor(value) for name, value in inputs.items()}
        return quietly(self.model, **{"use_cache": False, **tensors})

    def tensor(self, value):
        return self.torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    def gradients(self, loss):
        loss.backward()
        parameters = self.model.named_parameters()
        return {name: p.grad.numpy() for name, p in parameters if p.grad is not None}

    def generate(self, ids, mask, options):
        from transformers import GenerationConfig

        self.model.generation_config = GenerationConfig()
        ids, mask = self.tensor(ids), self.tensor(mask)
        return quietly(self.model.generate, ids, attention_mask=mask, **options)


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def assert_equal_outputs(ours, theirs, fields):
    for field in fields:
        actual, expected = ours[field], getattr(theirs, field)
        if not isinstance(actual, tuple):
            actual, expected = (actual,), (expected,)
        for number, (our_array, their_array) in enumerate(zip(actual, expected, strict=True)):
            name = f"{field}[{number}]"
            assert_close(our_array, their_array.detach().numpy(), FLOAT64, name=name)


def assert_equal_gradients(ours, theirs):
    assert sorted(ours) == sorted(theirs)
    scale = max(map(largest, theirs.values()))
    for name, gradient in theirs.items():
        # Softmax does not see a key's bias: its gradient is 0 but for rounding.
        of_key_bias = scale if name.endswith(("key.bias", "k_proj.bias")) else None
        assert_close(ours[name], gradient, FLOAT64, of_key_bias, name)


def assert_equal_in_float32(model, inputs, field):
    """Compare once more with the weights rounded to float32, here and there."""
    ours = type(model)(model.config, dtype="float32")
    set_weights(ours, model.parameters())
    inputs = {
        name: value.astype(np.float32) if value.dtype == np.float64 else value
        for name, value in inputs.items()
    }
    actual, expected = ours(**inputs)[field], Reference(ours)(**inputs)[field].detach().numpy()
    assert actual.dtype == np.float32
    assert_close(actual, expected, FLOAT32, name=field)
