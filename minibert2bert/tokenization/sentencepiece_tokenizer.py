"""The tokenizer of BertGeneration: a SentencePiece model, and nothing added to its ids."""

from pathlib import Path
from typing import Any, ClassVar

from minibert2bert.tokenization.pretrained_tokenizer import PretrainedTokenizer
from minibert2bert.tokenization.tokenizer_files import write_vocabulary
from minibert2bert.tokenization.vocabulary import Ids

UNDERLINE = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands for a space in pieces."""


class SentencePieceVocabulary:
    """A trained SentencePiece model: pieces, their ids, and the best way to cut a text into them.

    A model of the unigram kind normalises the text, and cuts it into the pieces whose scores, the
    logarithms of their probabilities, have the greatest sum. (Kudo, 2018, section 3.2)

    Attributes:
        size: the number of pieces
        unknown_id: the id of what no piece covers
        processor: the SentencePieceProcessor
    """

    def __init__(self, file: str | Path, options: dict[str, Any]) -> None:
        """Read a model file.

        Args:
            file: a serialised SentencePiece model
            options: arguments of the SentencePieceProcessor, such as those for sampling

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not a SentencePiece model.
        """
        # Importing it takes 30 ms, which only those who tokenize should wait for.
        from sentencepiece import SentencePieceProcessor

        content = Path(file).read_bytes()
        try:
            # On two cores one thread is the fastest up to 1,000 texts; options can say otherwise.
            self.processor = SentencePieceProcessor(
                model_proto=content, **{"num_threads": 1, **options}
            )
        except RuntimeError as error:
            raise ValueError(
                f"{file} must be a SentencePiece model, but its {len(content)} bytes are not one; "
                "some hundred bytes are mostly a Git LFS pointer, so download the file itself"
            ) from error
        self.size = self.processor.get_piece_size()
        self.unknown_id = self.processor.unk_id()

    def find(self, token: str) -> int | None:
        """Look up the id of a piece; None if there is no such piece."""
        index: int = self.processor.piece_to_id(token)
        return index if self.tokens([index]) == [token] else None

    def tokens(self, ids: Ids) -> list[str]:
        """Look up the pieces of ids."""
        pieces: list[str] = self.processor.id_to_piece(ids)
        return pieces

    def encode(self, texts: list[str]) -> list[Ids]:
        """Turn each text into ids."""
        # A list starts a thread, 30 microseconds: more than a short text takes itself.
        single = len(texts) == 1
        rows: Any = self.processor.encode(texts[0] if single else texts, out_type=int)
        return [rows] if single else rows

    def tokenize(self, text: str) -> list[str]:
        """Turn a text into pieces; what no piece covers stands for itself."""
        pieces: list[str] = self.processor.encode(text, out_type=str)
        return pieces

    def join(self, tokens: list[str]) -> str:
        """Put pieces together, and spaces where they stand for them."""
        return "".join(tokens).replace(UNDERLINE, " ").strip()


class BertGenerationTokenizer(PretrainedTokenizer):
    """Pieces to ids and back; no special token is added, so eos is the caller's to append.

    A pair is the one text after the other. What stands between two special tokens is cut into
    pieces by itself, so a word after a special token has its own leading space.

    Decoding joins the pieces as transformers 5 does: "<s> hello world</s>". Version 4 put no space
    there: "<s>hello world</s>". With skip_special_tokens both give "hello world".
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "spiece.model"}

    def __init__(
        self,
        vocab_file: str | Path,
        bos_token: Any = "<s>",
        eos_token: Any = "</s>",
        unk_token: Any = "<unk>",
        pad_token: Any = "<pad>",
        sep_token: Any = "<::::>",
        sp_model_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Read a model file, and add the special tokens that it lacks.

        Args:
            vocab_file: a SentencePiece model; it is not needed afterwards.
            bos_token: begins a text; a string, or an AddedToken, or None for no such token
            eos_token: ends it
            unk_token: stands for what no piece covers
            pad_token: fills up rows
            sep_token: separates texts
            sp_model_kwargs: options of the SentencePieceProcessor; enable_sampling=True with
                nbest_size=-1 and alpha=0.1 gives another segmentation at every call.
            kwargs: those of PretrainedTokenizer, such as model_max_length and padding_side

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not a SentencePiece model.
        """
        self.sp_model_kwargs = sp_model_kwargs or {}
        vocabulary = SentencePieceVocabulary(vocab_file, self.sp_model_kwargs)
        self.sp_model = vocabulary.processor
        super().__init__(
            vocabulary,
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            pad_token=pad_token,
            sep_token=sep_token,
            sp_model_kwargs=self.sp_model_kwargs,
            **kwargs,
        )

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the SentencePiece model.

        Args:
            save_directory: an existing folder
            filename_prefix: put before spiece.model, with "-" between

        Returns:
            the path of the file

        Raises:
            ValueError: if there is no such folder.
        """
        content = self.sp_model.serialized_model_proto()
        return write_vocabulary(save_directory, filename_prefix, {"spiece.model": content})
