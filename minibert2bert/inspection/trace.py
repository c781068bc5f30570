"""Every recorded array of a call, by name."""

from collections.abc import Callable
from typing import Any

from minibert2bert.arrays import Array
from minibert2bert.recording import recording


def trace(function: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Array]:
    """Call a model, or any function of this package, and return what it computed on the way.

    Args:
        function: what to call: a model, model.loss, model.generate, a stack, ...
        arguments: its arguments
        options: its keyword arguments

    Returns:
        arrays under full dotted names, in the order in which they were computed: attention
        weights end in probs, what leaves the embeddings or a layer in hidden_states. A name
        that comes up again, as in each step of generate, holds the last one.
    """
    with recording() as arrays:
        function(*arguments, **options)
    return arrays
