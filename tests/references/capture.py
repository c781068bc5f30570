"""What both make_ scripts share: the recipe into a transformers model, its results into a file."""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from recipe import recipe_weights
from safetensors.numpy import save

DATA = Path(__file__).resolve().parents[1] / "data"
GOLDEN = json.loads((DATA / "golden.json").read_text())

torch.set_num_threads(1)  # the order of sums, and so the last bit, depends on it


def set_recipe_weights(model):
    """Put the recipe's weights into the model, in float64 and eval mode; return all shapes.

    named_parameters() lists a tied tensor once, under the name that the saved file has.
    """
    model.double().eval()
    parameters = dict(model.named_parameters())
    shapes = {name: list(parameter.shape) for name, parameter in parameters.items()}
    for name, array in recipe_weights(shapes).items():
        parameters[name].data.copy_(torch.from_numpy(array))
    return shapes


def to_torch(arrays):
    return {name: torch.as_tensor(array) for name, array in arrays.items()}


def output_arrays(output):
    """Take the tensors of an output; a tuple of one tensor a layer becomes one array.

    Left out are the caches, and last_hidden_state, which is the last of hidden_states.
    """
    left_out = ("past_key_values", "last_hidden_state", "encoder_last_hidden_state")
    arrays = {}
    for name, value in output.items():
        if name not in left_out:
            value = torch.stack(value) if isinstance(value, tuple) else value
            arrays[name] = value.detach().numpy()
    return arrays


def gradient_arrays(model, loss):
    """Differentiate the loss; a parameter the loss does not depend on is left out."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    parameters = model.named_parameters()
    return {name: p.grad.numpy() for name, p in parameters if p.grad is not None}


class References:
    """The arrays of a file under CASE/GROUP/NAME, and what describes the cases."""

    def __init__(self):
        self.arrays, self.cases, self.layouts = {}, {}, {}

    def add(self, case, shapes, description, **groups):
        """Add the arrays of a case: inputs={...}, outputs={...}, gradients={...}."""
        layouts = [name for name, layout in self.layouts.items() if layout == shapes]
        if not layouts:
            self.layouts[case] = shapes
        self.cases[case] = description | {"layout": layouts[0] if layouts else case}
        for group, arrays in groups.items():
            for name, array in arrays.items():
                self.arrays[f"{case}/{group}/{name}"] = np.array(array, order="C")

    def save(self, filename):
        metadata = {"cases": self.cases, "layouts": self.layouts}
        metadata |= {"transformers": transformers.__version__, "numpy": np.__version__}
        texts = {key: json.dumps(value, separators=(",", ":")) for key, value in metadata.items()}
        size = (DATA / filename).write_bytes(sort_metadata(save(self.arrays, texts)))
        print(f"{filename}: {len(self.cases)} cases, {len(self.arrays)} arrays, {size:,} bytes")


def sort_metadata(file):
    """Rewrite the header of a safetensors file, so that equal contents are equal bytes.

    The library writes its metadata in a random order.
    """
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays start at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + file[8 + length :]


def assert_golden(actual, golden, what, rtol=1e-9, atol=1e-9):
    """Compare with a printed number of ten digits."""
    np.testing.assert_allclose(actual, golden, rtol=rtol, atol=atol, err_msg=what)
