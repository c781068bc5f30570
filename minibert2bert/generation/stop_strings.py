"""stop_strings: end an answer as soon as it contains a text."""

from functools import cache
from typing import Any

import numpy as np

from minibert2bert.arrays import Array
from minibert2bert.tokenization.byte_level_tokenizer import BYTES, ByteLevelVocabulary

SOME_WORD = "abcdef"
NO_TEXT = b"\xff"
"""What an id without a token stands for: a byte that no text contains."""


class StopStrings:
    """A criterion that finishes a row whose newest token completes one of some texts.

    The rule is that of the reference. A text counts when its last byte is in the newest token; it
    may begin and end within tokens: the answer keeps that token whole, and with it what stands
    behind the text. Tokens are compared as the tokenizer writes them inside a text, word spaces
    included, special tokens too, and before any clean-up of spaces. Texts are compared as bytes,
    because a byte-level token may hold a part of a character.
    """

    def __init__(self, stop_strings: str | list[str], tokenizer: Any) -> None:
        """Remember the texts.

        Args:
            stop_strings: one text or several, none empty
            tokenizer: of the answers

        Raises:
            ValueError: there is no tokenizer.
        """
        if tokenizer is None:
            raise ValueError(
                f"stop_strings {stop_strings!r} need the answers' tokenizer; pass tokenizer= to "
                "generate(), too, or use a pipeline, which does so"
            )
        listed = [stop_strings] if isinstance(stop_strings, str) else stop_strings
        self._stops = [text.encode() for text in listed]
        self._longest = max(map(len, self._stops))
        self._content = cache(token_contents(tokenizer))

    def __call__(self, ids: Array, scores: Any) -> Array:
        """Look at the end of each row: ids int (rows, T) to bool (rows,)."""
        # Tokens are at least a byte long, but for a few odd ones.
        tails = ids[:, -self._longest :].tolist()
        return np.array([self._is_completed(tail) for tail in tails], dtype=bool)

    def _is_completed(self, tail: list[int]) -> bool:
        *earlier, newest = map(self._content, tail)
        before = b"".join(earlier)
        for stop in self._stops:
            # All but one byte of the text may stand before the newest token.
            start = max(0, len(before) - len(stop) + 1)
            if stop in before[start:] + newest:
                return True
        return False


def token_contents(tokenizer: Any) -> Any:
    """Find what each token adds to a text, by writing it behind a word.

    Args:
        tokenizer: one of ours, or one of transformers

    Returns:
        content: id -> bytes
    """
    word = tokenizer.convert_ids_to_tokens(
        tokenizer(SOME_WORD, add_special_tokens=False)["input_ids"]
    )
    before = tokenizer.convert_tokens_to_string(word)
    vocabulary = getattr(getattr(tokenizer, "table", None), "vocabulary", None)
    of_bytes = isinstance(vocabulary, ByteLevelVocabulary)

    def content(index: int) -> bytes:
        if not 0 <= index < len(tokenizer):
            return NO_TEXT
        token = tokenizer.convert_ids_to_tokens([index])[0]
        if of_bytes and all(character in BYTES for character in token):
            return bytes(BYTES[character] for character in token)
        text: str = tokenizer.convert_tokens_to_string([*word, token])
        return text.removeprefix(before).encode()

    return content
