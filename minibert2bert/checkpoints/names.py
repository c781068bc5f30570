"""Tensor names: from those of a file to those of a model, and the report of a load."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minibert2bert.arrays import Array

Shapes = Mapping[str, tuple[int, ...]]

# What old files carry although it follows from the config: counted positions and causal masks.
BUFFERS = re.compile(
    r"(^|\.)(position_ids|token_type_ids|(attn|crossattention)\.(bias|masked_bias))$"
)
# What a model without the corresponding part leaves aside: a pooler, the head of BERT's second
# task, and language-model heads.
SPARE_PARTS = re.compile(r"(^|\.)(pooler|cls\.seq_relationship|cls\.predictions|lm_head)\.")
LEGACY = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
HEADS = ("lm_head", "cls.predictions")


@dataclass(frozen=True)
class LoadReport:
    """What was found in the files of a model.

    Attributes:
        loaded: parameters that came from the files
        new: parameters that are not in the files and were initialised: train them before use
        unexpected: tensors of the files that the model has no place for; whole parts that a
            model may lack, such as a pooler or a head, are not counted.
    """

    loaded: list[str]
    new: list[str]
    unexpected: list[str]

    def __str__(self) -> str:
        lists = {"loaded": self.loaded, "new": self.new, "unexpected": self.unexpected}
        return "\n".join(f"{kind}: {summary(names)}" for kind, names in lists.items())


def summary(names: list[str]) -> str:
    """Give the number of names, and the first five of them."""
    first = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} ({first})" if names else "0"


def canonical_names(
    tensors: Mapping[str, Array], expected: Shapes, base_prefix: str = ""
) -> dict[str, Array]:
    """Give the tensors of a file the names that the model expects, where a rule says so.

    Old names of layer norms are renewed, buffers left out, and the base prefix is added or taken
    away: the same stack is called bert.encoder... in a model with a head, and encoder... without.

    Args:
        tensors: arrays under the names of the file
        expected: names and shapes of the model
        base_prefix: "bert", say; nothing for a model that is made of two others
    """
    renamed = {}
    for name, array in tensors.items():
        if BUFFERS.search(name):
            continue
        for old, new in LEGACY.items():
            name = name.removesuffix(old) + new if name.endswith(old) else name
        if name not in expected and base_prefix:
            candidates = (f"{base_prefix}.{name}", name.removeprefix(f"{base_prefix}."))
            name = next((candidate for candidate in candidates if candidate in expected), name)
        renamed[name] = array
    return renamed


def fit_heads(tensors: Mapping[str, Array], expected: Shapes) -> dict[str, Array]:
    """Bring a language-model head's weight and bias under the names that the model expects.

    A tied head has its weight from the word embeddings, and bias and decoder.bias are one. Files
    may carry all of them all the same. Where an untied file has two biases, decoder.bias is the
    one that counts.

    Args:
        tensors: arrays under canonical names
        expected: names and shapes of the model; they tell whether the head is tied.
    """
    fitted = dict(tensors)
    for name in list(tensors):
        head = re.search(
            rf"(^|.*\.)({'|'.join(map(re.escape, HEADS))})(?=\.bias$|\.decoder\.)", name
        )
        if head is None:
            continue
        outer, inner = f"{head.group(0)}.bias", f"{head.group(0)}.decoder.bias"
        wanted, other = (inner, outer) if inner in expected else (outer, inner)
        if other in fitted and wanted in expected:
            spare = fitted.pop(other)
            fitted.setdefault(wanted, spare)
        weight = f"{head.group(0)}.decoder.weight"
        if weight in fitted and weight not in expected and _is_tied(fitted[weight], fitted):
            del fitted[weight]
    return fitted


def _is_tied(weight: Array, tensors: Mapping[str, Array]) -> bool:
    return any(
        name.endswith("word_embeddings.weight") and np.array_equal(weight, array)
        for name, array in tensors.items()
    )


def _is_spare(name: str, expected: Shapes) -> bool:
    """Tell whether a tensor belongs to a whole part that the model does not have."""
    part = SPARE_PARTS.search(name)
    return part is not None and not any(n.startswith(name[: part.end()]) for n in expected)


def match(
    tensors: Mapping[str, Array], expected: Shapes, ignore_mismatched_sizes: bool = False
) -> tuple[dict[str, Array], LoadReport]:
    """Pick out what the model expects, and report the rest.

    Args:
        tensors: arrays under canonical names
        expected: names and shapes of the model
        ignore_mismatched_sizes: whether a tensor of another shape counts as missing

    Returns:
        loaded: the arrays that fit
        report: which were loaded, which are new, and which were unexpected

    Raises:
        ValueError: if a shape differs, or if no name fits at all.
    """
    wrong = [
        f"{name} is {tensors[name].shape} in the file, {shape} by the config"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if wrong and not ignore_mismatched_sizes:
        raise ValueError(
            f"{len(wrong)} tensors have another shape than the config says: "
            f"{'; '.join(wrong[:5])}; correct config.json, or initialise them anew with "
            "ignore_mismatched_sizes=True"
        )
    loaded = {n: tensors[n] for n, s in expected.items() if n in tensors and tensors[n].shape == s}
    report = LoadReport(
        loaded=list(loaded),
        new=[name for name in expected if name not in loaded],
        unexpected=[
            name for name in tensors if name not in expected and not _is_spare(name, expected)
        ],
    )
    if not loaded:
        raise ValueError(
            "none of the file's tensors is one of the model's; the model has "
            f"{summary(list(expected))}, the file {summary(list(tensors))}; is it another "
            "architecture?"
        )
    return loaded, report
