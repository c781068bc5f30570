"""The tokenizer of BERT: words, cut from the left into the longest pieces that are known."""

from pathlib import Path
from typing import Any, ClassVar

from minibert2bert.tokenization.pretrained_tokenizer import PretrainedTokenizer
from minibert2bert.tokenization.tokenizer_files import read_text, write_vocabulary
from minibert2bert.tokenization.tokenizers_backend import (
    LibraryVocabulary,
    import_tokenizers,
    read_tokenizer_json,
    with_tokens_of,
)
from minibert2bert.tokenization.vocabulary import Ids

NORMALIZER = {"lowercase": True, "handle_chinese_chars": True, "strip_accents": None}
"""The options of BERT's normaliser, as tokenizer.json names them, and their defaults."""


class WordPieceVocabulary(LibraryVocabulary):
    """Pieces of words; one that continues a word begins with "##".

    A text is cleaned, lower-cased and split at spaces and punctuation. Of a word, the longest
    prefix that is a piece comes first, then the longest of the rest that is one after "##", and so
    on; a word that cannot be covered, or is too long, is unknown as a whole.
    (Wu et al., 2016, section 4.1; Devlin et al., 2019, section 3)

    Attributes:
        options: those of NORMALIZER
        prefix: "##"
        longest: words of more characters are unknown.
    """

    def __init__(
        self,
        vocab_file: str | Path | None,
        content: dict[str, Any],
        options: dict[str, bool | None],
    ) -> None:
        """Take the pieces from a tokenizer.json, or from vocab.txt.

        Args:
            vocab_file: a piece a line; its id is the number of the line, from 0.
            content: of tokenizer.json; {} means that the pieces are in vocab_file.
            options: those of NORMALIZER that are given; None stands for tokenizer.json's.
        """
        model = content.get("model", {})
        super().__init__(model["vocab"] if model else read_pieces(vocab_file))
        self.prefix = model.get("continuing_subword_prefix", "##")
        self.longest = model.get("max_input_chars_per_word", 100)
        stored = content.get("normalizer") or {}
        self.options = {name: stored.get(name, value) for name, value in NORMALIZER.items()}
        self.options |= {name: value for name, value in options.items() if value is not None}

    def make_pipeline(self, ids: dict[str, int], unknown: str | None) -> Any:
        """Make the library's pipeline."""
        library = import_tokenizers()
        pipeline = library.Tokenizer(
            library.models.WordPiece(
                ids,
                unk_token=unknown,
                max_input_chars_per_word=self.longest,
                continuing_subword_prefix=self.prefix,
            )
        )
        pipeline.normalizer = library.normalizers.BertNormalizer(clean_text=True, **self.options)
        pipeline.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        pipeline.decoder = library.decoders.WordPiece(self.prefix)
        return pipeline

    def join(self, tokens: list[str]) -> str:
        """Put pieces together, with spaces between words but not before . ? ! and ,."""
        text: str = self.pipeline.decoder.decode(tokens)
        return text


class BertTokenizer(PretrainedTokenizer):
    """Pieces to ids and back: [CLS] A [SEP], and for a pair [CLS] A [SEP] B [SEP].

    There is no bos_token and no eos_token; an encoder-decoder of two BERTs begins with cls_token
    and ends with sep_token.

    Decoding puts a space between words. With clean_up_tokenization_spaces, as in version 4 of
    transformers and in all published numbers, it then takes out those before punctuation and
    around apostrophes: "it's a test: don't." becomes "it's a test : don't.". Without, as in
    version 5, only those before . ? ! and , are taken out: "it ' s a test : don ' t.".
    """

    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "vocab.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model_input_names: ClassVar[tuple[str, ...]] = (
        "input_ids",
        "token_type_ids",
        "attention_mask",
    )
    odd_to_longer: ClassVar[bool] = True
    plain_pair_type: ClassVar[int] = 1
    default_tokens: ClassVar[dict[str, str]] = {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        do_lower_case: bool | None = None,
        tokenizer_file: str | Path | None = None,
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        clean_up_tokenization_spaces: bool = True,
        **settings: Any,
    ) -> None:
        """Read the pieces, and add the special tokens that they lack.

        Args:
            vocab_file: a piece a line, as in vocab.txt; not read if there is a tokenizer_file
            do_lower_case: None stands for what tokenizer_file says, or True.
            tokenizer_file: a tokenizer.json
            tokenize_chinese_chars: whether each Chinese character is a word of its own; None stands
                for what tokenizer_file says, or True.
            strip_accents: whether accents are dropped; None stands for what tokenizer_file says, or
                for do_lower_case.
            clean_up_tokenization_spaces: see above
            settings: those of PretrainedTokenizer, and unk_token, sep_token, pad_token, cls_token
                and mask_token for others than default_tokens

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file is not of this kind, or there is no unk_token.
            ModuleNotFoundError: if the library tokenizers is not installed.
        """
        settings = {**self.default_tokens, **settings}
        if settings["unk_token"] is None:
            raise ValueError("unk_token stands for words that no piece covers, and cannot be None")
        content = read_tokenizer_json(tokenizer_file, "WordPiece")
        given = (do_lower_case, tokenize_chinese_chars, strip_accents)
        options = dict(zip(NORMALIZER, given, strict=True))
        vocabulary = WordPieceVocabulary(vocab_file, content, options)
        chosen = vocabulary.options
        super().__init__(
            vocabulary,
            do_lower_case=chosen["lowercase"],
            tokenize_chinese_chars=chosen["handle_chinese_chars"],
            strip_accents=chosen["strip_accents"],
            clean_up_tokenization_spaces=clean_up_tokenization_spaces,
            **with_tokens_of(content, settings),
        )
        vocabulary.connect(self.table)

    def build_inputs_with_special_tokens(self, ids: Ids, pair_ids: Ids | None = None) -> Ids:
        """Return [CLS] A [SEP], and B [SEP] after it for a pair."""
        first = [self.cls_token_id, *ids, self.sep_token_id]
        return first if pair_ids is None else [*first, *pair_ids, self.sep_token_id]

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write vocab.txt and tokenizer.json.

        Args:
            save_directory: an existing folder
            filename_prefix: put before the names, with "-" between

        Returns:
            the paths of the files

        Raises:
            ValueError: if there is no such folder.
        """
        vocabulary: Any = self.table.vocabulary
        sep, cls = ((t, self.convert_tokens_to_ids(t)) for t in (self.sep_token, self.cls_token))
        template = import_tokenizers().processors.BertProcessing(sep, cls)
        pieces = vocabulary.tokens(list(range(self.vocab_size)))
        files = {
            "vocab.txt": "".join(f"{piece}\n" for piece in pieces).encode(),
            "tokenizer.json": vocabulary.to_json(self.added_tokens_decoder, template),
        }
        return write_vocabulary(save_directory, filename_prefix, files)


def read_pieces(vocab_file: str | Path | None) -> dict[str, int]:
    """Read vocab.txt: a piece a line, numbered from 0."""
    lines = read_text(vocab_file, "vocab_file").removesuffix("\n").split("\n")
    return {piece: index for index, piece in enumerate(lines)}
