"""What the demo model makes of two sentences: loss, gradients, a step, and a translation."""

import importlib

import numpy as np
from mine.arrays import Clues, difference

ENGLISH = ("My sister is reading a long letter.", "How much does this book cost?")
GERMAN = ("Meine Schwester liest einen langen Brief.</s>", "Wie viel kostet dieses Buch?</s>")
CLOSE_FLOAT32 = Clues(close=1e-3)


def results():
    """Run the demo model with the package as it is imported now.

    Returns:
        dict of arrays and texts
    """
    package = importlib.import_module("minibert2bert")
    optimizer = importlib.import_module("minibert2bert.training.optimizer")
    folder = importlib.import_module("minibert2bert.demo").DEMO_FOLDER
    tokenizer = package.BertGenerationTokenizer.from_pretrained(folder)
    model = package.EncoderDecoderModel.from_pretrained(folder)
    sources = tokenizer(list(ENGLISH), padding=True, return_tensors="np")
    targets = tokenizer(list(GERMAN), padding=True, return_tensors="np")
    labels = np.where(targets.attention_mask == 1, targets.input_ids, -100)
    texts = tokenizer.batch_decode(model.generate(**sources), skip_special_tokens=True)
    loss, backward = model.loss(**sources, labels=labels)
    gradients = backward()
    params = model.parameters()
    # Not with the model's own gradients: some are zero but for rounding, and Adam magnifies them.
    made_up = {name: 0.1 * array for name, array in params.items()}
    shortened, _ = optimizer.clip_by_global_norm(made_up, 1.0)
    optimizer.AdamW(params, learning_rate=1e-3).step(shortened)
    return {
        "loss": np.asarray(loss),
        "gradients": gradients,
        "params": params,
        "texts": texts,
    }


def first_difference(mine, expected):
    """Say what the demo model does otherwise than with the package's own files.

    Returns:
        lines: none if it does the same
    """
    told = difference(mine["loss"], expected["loss"], CLOSE_FLOAT32)
    if told:
        return ["the loss of two sentences:", *told]
    for part, name in (("gradients", "the gradient of "), ("params", "after a step, ")):
        wrong = different_tensors(mine[part], expected[part])
        if wrong:
            first = difference(mine[part][wrong[0]], expected[part][wrong[0]], CLOSE_FLOAT32)
            count = f"{len(wrong)} of {len(expected[part])} tensors differ"
            return [f"{count}; {name}{wrong[0]}", *first]
    if mine["texts"] != expected["texts"]:
        return [f"the model writes {mine['texts']}, expected {expected['texts']}"]
    return []


def different_tensors(mine, expected):
    """Names of the arrays that differ by more than float32 explains."""
    largest = max(float(np.abs(array).max()) for array in expected.values())
    return [
        name
        for name, array in expected.items()
        if not np.allclose(
            mine[name], array, rtol=0, atol=1e-3 * np.abs(array).max() + 1e-5 * largest
        )
    ]
