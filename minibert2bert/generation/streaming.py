"""Hand on an answer while it is being written.

A streamer is an object with put(ids) and end(). generate() puts the prompts first, int64
(rows, prompt), then the newest token of each row, (rows,), one step after the other, and calls
end() when there is no more, also after an error.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minibert2bert.arrays import Array

CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""The blocks of CJK ideographs in Unicode, first and last; no space follows these characters."""


class TextStreamer:
    """Print the text of a single answer, as soon as it is certain.

    All tokens since the last line are decoded again at each step, because a token can change how
    those before it are written. What is new is printed up to the last space, and all of it when it
    consists of letters, digits and spaces or ends with a line or an ideograph: other signs may
    turn into something else.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        """Start before the prompt.

        Args:
            tokenizer: of the answers
            skip_prompt: whether to leave out the prompt, which is the start token as a rule
            decode_kwargs: options of tokenizer.decode, such as skip_special_tokens=True
        """
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_kwargs = decode_kwargs
        self._before_prompt = True
        self._tokens: list[int] = []
        self._printed = 0

    def put(self, value: Array) -> None:
        """Take the newest tokens: int (1, T) or (T,).

        Raises:
            ValueError: there are several rows.
        """
        if value.ndim > 1 and len(value) > 1:
            raise ValueError(
                f"a text streamer takes one answer, got {len(value)}; generate them one by one"
            )
        is_prompt, self._before_prompt = self._before_prompt, False
        if is_prompt and self.skip_prompt:
            return
        self._tokens += value.reshape(-1).tolist()
        text = self._decode(self._tokens)
        new = text[self._printed :]
        if not is_certain(new):
            new = new[: new.rfind(" ") + 1]
        self._printed += len(new)
        if text.endswith("\n"):
            # The last token stays, for the one that follows to get its leading space.
            self._tokens = self._tokens[-1:]
            self._printed = len(self._decode(self._tokens))
        self.on_finalized_text(new)

    def end(self) -> None:
        """Hand on the rest, and be ready for another answer."""
        rest = self._decode(self._tokens)[self._printed :] if self._tokens else ""
        self._before_prompt, self._tokens, self._printed = True, [], 0
        self.on_finalized_text(rest, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print a piece of text, and a line's end after the last; for subclasses to replace."""
        print(text, end="\n" if stream_end else "", flush=True)

    def _decode(self, tokens: list[int]) -> str:
        text: str = self.tokenizer.decode(tokens, **self.decode_kwargs)
        return text


def is_certain(text: str) -> bool:
    """Whether the next token can no longer change a text."""
    if text.endswith("\n") or (text and any(a <= ord(text[-1]) <= b for a, b in CHINESE)):
        return True
    return all(c.isspace() or unicodedata.category(c)[0] in "LMN" for c in text)


class TextIteratorStreamer(TextStreamer):
    """Iterate over the pieces of a text while another thread generates it.

        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        options = {"streamer": streamer, "max_new_tokens": 30}
        threading.Thread(target=model.generate, args=(input_ids,), kwargs=options).start()
        for piece in streamer:
            ...

    The iteration ends with the answer, or where an error has ended it.
    """

    def __init__(
        self,
        tokenizer: Any,
        skip_prompt: bool = False,
        timeout: float | None = None,
        **decode_kwargs: Any,
    ) -> None:
        """Start before the prompt.

        Args:
            tokenizer: of the answers
            skip_prompt: as in TextStreamer
            timeout: seconds to wait for a piece before queue.Empty is raised; None waits forever.
            decode_kwargs: as in TextStreamer
        """
        # It imports threading, which only those who stream should need.
        from queue import Queue

        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.timeout = timeout
        self._pieces: Queue[str | None] = Queue()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Queue a piece of text for the iteration, and its end after the last."""
        self._pieces.put(text)
        if stream_end:
            self._pieces.put(None)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = self._pieces.get(timeout=self.timeout)
        if piece is None:
            raise StopIteration
        return piece


def hand_on(ids: Array, scores: Any, streamer: Any) -> Array:
    """Show a streamer the newest token of each row; a stopping criterion that finishes none."""
    streamer.put(ids[:, -1])
    return np.zeros(len(ids), dtype=bool)


@contextmanager
def ended(streamer: Any) -> Iterator[None]:
    """Call the streamer's end() whatever happens: who waits for it in a thread waits no longer."""
    try:
        yield
    finally:
        if streamer is not None:
            streamer.end()
