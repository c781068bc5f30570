"""Tensors in tf_model.h5, the weights that Keras wrote, under the names of PyTorch's checkpoints.

HDF5 is a file system in a file: groups hold groups and datasets. Keras makes a group for each layer
of a model, and below it one for each part of a variable's name. So
bert/tf_bert_model/bert/encoder/layer_._0/output/dense/kernel:0 is layer bert of tf_bert_model, and
to PyTorch bert.encoder.layer.0.output.dense.weight, transposed.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.checkpoints.safetensors_files import FLOATS
from minibert2bert.checkpoints.torch_pickle import RefusedError

LEAVES = {
    "kernel": "weight", "weight": "weight", "embeddings": "weight", "gamma": "weight",
    "bias": "bias", "beta": "bias", "final_logits_bias": "final_logits_bias",
}  # fmt: skip
# An encoder is a headless model, whose base has a name in TensorFlow and none in PyTorch.
ENCODER_BASE = re.compile(r"^encoder\.(bert|roberta)\.")
# What HDF5 raises where a file is broken, besides its own OSError.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)


def read_tensorflow_tensors(path: str | Path, dtype: str = "float32") -> dict[str, Array]:
    """Read all tensors of a tf_model.h5, or of one shard of it, and run nothing.

    A layer's kernel is (I, O) in TensorFlow and (O, I) in PyTorch, so it is transposed. GPT-2's
    weights are (I, O) in both, and its biases lose an axis of size 1. A model without a head has
    its base prefix all the same: bert.encoder... for BertModel.

    Args:
        path: the file
        dtype: what the tensors become, "float32" or "float64"

    Returns:
        arrays by name

    Raises:
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if h5py is not installed.
        ValueError: if the file is truncated, corrupt, of an unknown dtype, or holds anything else
            than the weights of a model, or if the dtype asked for is another one.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype must be "float32" or "float64", got {dtype!r}')
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}; a TensorFlow model has a tf_model.h5")
    try:
        import h5py
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"reading {path} needs h5py: pip install minibert2bert[convert]"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return _read(file, dtype)
    except RefusedError as error:
        raise ValueError(
            f"{path} is not read: {error}; it must be a file that save_pretrained of "
            "transformers 4 wrote"
        ) from None
    except DAMAGE as error:
        raise ValueError(
            f"{path} is no whole HDF5 file ({error}); copy or download it again"
        ) from None


def _read(file: Any, dtype: str) -> dict[str, Array]:
    # Only a whole file says which Keras wrote it. In a shard, names begin after the model's.
    skipped = 2 if "keras_version" in file.attrs else 0
    tensors: dict[str, Array] = {}
    for path, dataset in _datasets(file).items():
        name, array = _name(path, skipped), _array(path, dataset, dtype)
        # A layer that uses another's variable stores it once more, as BERT's head does.
        if not np.array_equal(tensors.setdefault(name, array), array, equal_nan=True):
            raise RefusedError(f"it has two tensors {name}, one as {path}")
    if not tensors:
        raise RefusedError("it holds no tensors")
    return tensors


def _datasets(file: Any) -> dict[str, Any]:
    """Find the datasets in all groups; links, which may lead to other files, are not followed."""
    found = {}

    def visit(path: str, item: Any) -> None:
        if hasattr(item, "shape"):
            found[path] = item

    file.visititems(visit)
    return found


def _name(path: str, skipped: int) -> str:
    """Turn the path of a dataset into PyTorch's name."""
    parts = path.removesuffix(":0").split("/")
    # A variable outside of any layer, as final_logits_bias of BART, has no model in its name.
    *scopes, leaf = parts[skipped:] or parts[-1:]
    if leaf not in LEAVES or not path.endswith(":0"):
        raise RefusedError(f"it holds {path}, which is no weight of a Keras layer known here")
    # mlm___cls and nsp___cls are two layers that PyTorch has in one; _._ counts a list.
    scopes = [scope.rpartition("___")[2].replace("_._", ".") for scope in scopes]
    return ENCODER_BASE.sub("encoder.", ".".join([*scopes, LEAVES[leaf]]))


def _array(path: str, dataset: Any, dtype: str) -> Array:
    stored = dataset.dtype.name
    if stored not in FLOATS:
        raise RefusedError(f"{path} is of dtype {stored}; readable are float16 to float64")
    # Else a small file could claim to expand to any size, or take numbers out of other files.
    if dataset.external or dataset.id.get_storage_size() != dataset.nbytes:
        raise RefusedError(f"{path} is compressed, or not in this file, unlike what Keras writes")
    array = np.asarray(dataset[()]).astype(dtype, copy=False)
    leaf = path.removesuffix(":0").rpartition("/")[2]
    if leaf == "kernel":
        if array.ndim != 2:
            raise RefusedError(f"{path} has shape {array.shape}, and is no linear layer's kernel")
        return np.ascontiguousarray(array.T)
    return array.reshape(-1) if leaf == "bias" and array.shape[:-1] == (1,) else array
