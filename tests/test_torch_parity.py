"""Files that torch itself writes: read to the last bit."""

import numpy as np
import pytest

from minibert2bert.checkpoints.torch_files import read_torch_tensors


@pytest.fixture(params=[2, 4, "legacy"])
def torch_saved(request, tmp_path):
    """Has torch write a tree, and reads it here."""
    import torch

    legacy = request.param == "legacy"
    options = {} if legacy else {"pickle_protocol": request.param}

    def write_and_read(tree, dtype="float32"):
        path = tmp_path / "pytorch_model.bin"
        torch.save(tree, path, _use_new_zipfile_serialization=not legacy, **options)
        return read_torch_tensors(tmp_path, dtype)

    return write_and_read


@pytest.mark.parity
def test_what_torch_writes_is_read_bit_by_bit(torch_saved):
    import torch

    base = torch.randn(4, 6, dtype=torch.float32)
    whole_numbers = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
    tree = {name: torch.arange(3).to(getattr(torch, name)) for name in whole_numbers}
    tree |= {"half": base.half(), "bfloat": base.bfloat16(), "double": base.double()}
    tree |= {"base": base, "row": base[2], "turned": base.t(), "strided": base[::2, 1::3]}
    tree |= {"expanded": base[:, :1].expand(4, 3), "point": base[1, 2], "none": base[:, :0]}
    tree |= {"truth": base > 0, "parameter": torch.nn.Parameter(base)}
    # torch writes a parameter with an attribute in another way.
    tree["parameter"].note = "of a trainer"
    read = torch_saved(tree)
    assert set(read) == set(tree)
    for name, tensor in tree.items():
        expected = tensor.float() if tensor.is_floating_point() else tensor
        np.testing.assert_array_equal(read[name], expected.detach().numpy(), strict=True)
    np.testing.assert_array_equal(torch_saved(tree, "float64")["double"], tree["double"].numpy())


@pytest.mark.parity
def test_weights_that_torch_ties_are_one_array(torch_saved):
    import torch

    model = torch.nn.ModuleDict(
        {"embedding": torch.nn.Embedding(5, 2), "head": torch.nn.Linear(2, 5)}
    )
    model["head"].weight = model["embedding"].weight
    read = torch_saved(model.state_dict())
    assert read["head.weight"] is read["embedding.weight"]
    np.testing.assert_array_equal(read["head.weight"], model["head"].weight.detach().numpy())


@pytest.mark.parity
def test_what_torch_writes_beside_dicts_of_tensors_is_refused(torch_saved):
    import torch

    with pytest.raises(ValueError, match=r"names .torch.nn.modules.linear.Linear|instruction"):
        torch_saved(torch.nn.Linear(2, 3))
    with pytest.raises(ValueError, match=r"names .torch.ComplexFloatStorage"):
        torch_saved({"x": torch.ones(2, dtype=torch.complex64)})
    with pytest.raises(ValueError, match="negative or the conjugate"):
        torch_saved({"x": torch.ones(2, dtype=torch.complex64).conj().imag})
