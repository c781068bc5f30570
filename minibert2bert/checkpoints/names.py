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
# Groups: what stands before the head, such as "decoder.", and the head.
HEAD = re.compile(r"(|.*\.)(lm_head|cls\.predictions)\.(?:bias|decoder\.(?:bias|weight))$")


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
        advice = "; initialised afresh: train the model before you use it" if self.new else ""
        return (
            f"loaded: {summary(self.loaded)}\nnew: {summary(self.new)}{advice}\n"
            f"unexpected: {summary(self.unexpected)}"
        )


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

    Raises:
        ValueError: if no tensor belongs to the model's base, or two get the same name.
    """
    renamed: dict[str, Array] = {}
    for name, array in tensors.items():
        if BUFFERS.search(name):
            continue
        canonical = _canonical_name(name, expected, base_prefix)
        if canonical in renamed:
            raise ValueError(f"two tensors of the file are called {canonical}, one as {name}")
        renamed[canonical] = array
    base = [name for name in expected if base_prefix and name.startswith(f"{base_prefix}.")]
    wanted = base or list(expected)
    # A head alone is no model: lm_head.bias has the same name in several families.
    if wanted and renamed.keys().isdisjoint(wanted):
        raise ValueError(
            f"none of the file's tensors is one of the model's; the model has {summary(wanted)}, "
            f"the file {summary(list(tensors))}; is it another architecture?"
        )
    return renamed


def _canonical_name(name: str, expected: Shapes, base_prefix: str) -> str:
    for old, new in LEGACY.items():
        if name.endswith(old):
            name = name.removesuffix(old) + new
    if name in expected or not base_prefix:
        return name
    candidates = (f"{base_prefix}.{name}", name.removeprefix(f"{base_prefix}."))
    return next((candidate for candidate in candidates if candidate in expected), name)


def fit_heads(tensors: Mapping[str, Array], expected: Shapes) -> dict[str, Array]:
    """Bring a language-model head's weight and bias under the names that the model expects.

    A tied head has its weight from the word embeddings, and bias and decoder.bias are one. Files
    may carry all of them all the same. Of two weights the embeddings' counts, and a head's alone
    is the embeddings'; of two biases decoder.bias counts, for it is the one that is computed with.

    Args:
        tensors: arrays under canonical names
        expected: names and shapes of the model; they tell whether the head is tied.
    """
    fitted = dict(tensors)
    for scope, head in dict.fromkeys(m.groups() for m in map(HEAD.match, tensors) if m):
        outer, inner = f"{scope}{head}.bias", f"{scope}{head}.decoder.bias"
        wanted = inner if inner in expected else outer
        if wanted in expected:
            biases = [fitted.pop(name) for name in (inner, outer) if name in fitted]
            if biases:
                fitted[wanted] = biases[0]
        weight = f"{scope}{head}.decoder.weight"
        embedding = _word_embeddings(scope, expected)
        if weight in fitted and weight not in expected and embedding is not None:
            alone = fitted.setdefault(embedding, fitted[weight])
            if np.array_equal(alone, fitted[weight]):
                del fitted[weight]
    return fitted


def _word_embeddings(scope: str, expected: Shapes) -> str | None:
    names = (n for n in expected if n.startswith(scope) and n.endswith("word_embeddings.weight"))
    return next(names, None)


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
