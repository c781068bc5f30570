"""The tokenizers of RoBERTa, BART and GPT-2: bytes, merged into ever longer tokens."""

import json
from pathlib import Path
from typing import Any, ClassVar

from minibert2bert.tokenization.pretrained_tokenizer import PretrainedTokenizer
from minibert2bert.tokenization.tokenizer_files import parse_json, read_text, write_vocabulary
from minibert2bert.tokenization.tokenizers_backend import (
    LibraryVocabulary,
    import_tokenizers,
    read_tokenizer_json,
    with_tokens_of,
)
from minibert2bert.tokenization.vocabulary import AddedToken, Ids

FILES = {
    "vocab_file": "vocab.json",
    "merges_file": "merges.txt",
    "tokenizer_file": "tokenizer.json",
}


def byte_characters() -> list[str]:
    """Give each of the 256 bytes a character that can be seen.

    A byte that is a visible character of Latin-1 stands for itself; the 68 others are, in order,
    U+0100 and what follows. So a space is "Ġ", and a line's end "Ċ".
    """
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = (number for number in range(256) if number not in visible)
    replacements = {number: chr(256 + position) for position, number in enumerate(others)}
    return [replacements.get(number, chr(number)) for number in range(256)]


BYTES = {character: number for number, character in enumerate(byte_characters())}


class ByteLevelVocabulary(LibraryVocabulary):
    """Tokens that are strings of bytes, and the merges that make them.

    A text is cut into words with the space before each, numbers, runs of other characters, and
    spaces. Of the bytes of a word, two neighbours become one again and again: always those whose
    merge was learned first, until there is no merge for any.
    (Sennrich et al., 2016, section 3.2; Radford et al., 2019, section 2.2)

    Attributes:
        merges: pairs of tokens, the first learned first
        add_prefix_space: whether a text that begins with a word gets a space before it
        errors: what join does with bytes that are no text, as in bytes.decode
    """

    def __init__(
        self,
        vocab_file: str | Path | None,
        merges_file: str | Path | None,
        content: dict[str, Any],
        add_prefix_space: bool | None,
        errors: str,
    ) -> None:
        """Take tokens and merges from a tokenizer.json, or from vocab.json and merges.txt.

        Args:
            vocab_file: a JSON object from token to id
            merges_file: a merge a line, its two tokens with a space between
            content: of tokenizer.json; {} means that the tokens are in the files.
            add_prefix_space: None stands for what content says, or False.
            errors: "replace", "strict", "ignore" and so on

        Raises:
            ValueError: if a merge is not of two tokens.
        """
        model = content.get("model", {})
        super().__init__(model["vocab"] if model else read_ids(vocab_file))
        merges = model["merges"] if model else read_merges(merges_file)
        self.merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in merges]
        wrong = [merge for merge in self.merges if len(merge) != 2]
        if wrong:
            raise ValueError(f"a merge must be of two tokens, got {' '.join(wrong[0])!r}")
        if add_prefix_space is None:
            add_prefix_space = (content.get("pre_tokenizer") or {}).get("add_prefix_space", False)
        self.add_prefix_space = add_prefix_space
        self.errors = errors

    def make_pipeline(self, ids: dict[str, int], unknown: str | None) -> Any:
        """Make the library's pipeline; there is no normaliser."""
        library = import_tokenizers()
        pipeline = library.Tokenizer(library.models.BPE(ids, self.merges, unk_token=unknown))
        pipeline.pre_tokenizer = library.pre_tokenizers.ByteLevel(self.add_prefix_space)
        pipeline.decoder = library.decoders.ByteLevel()
        return pipeline

    def join(self, tokens: list[str]) -> str:
        """Turn the tokens' characters into bytes, and these into text; added tokens are text."""
        content = bytearray()
        for token in tokens:
            spelled = token not in self.added and all(character in BYTES for character in token)
            content += bytes(BYTES[c] for c in token) if spelled else token.encode()
        return content.decode(errors=self.errors)

    def to_files(self, added: dict[int, AddedToken], template: Any) -> dict[str, bytes]:
        """Write vocab.json, merges.txt and tokenizer.json."""
        ids = dict(sorted(self.ids.items(), key=lambda item: item[1]))
        lines = ["#version: 0.2", *(" ".join(merge) for merge in self.merges), ""]
        return {
            "vocab.json": json.dumps(ids, ensure_ascii=False).encode(),
            "merges.txt": "\n".join(lines).encode(),
            "tokenizer.json": self.to_json(added, template),
        }


def read_ids(vocab_file: str | Path | None) -> dict[str, int]:
    """Read vocab.json."""
    return parse_json(read_text(vocab_file, "vocab_file"), str(vocab_file))


def read_merges(merges_file: str | Path | None) -> list[str]:
    """Read merges.txt, whose first line tells a version."""
    lines = read_text(merges_file, "merges_file").split("\n")
    return [line for line in lines if line and not line.startswith("#version")]


class RobertaTokenizer(PretrainedTokenizer):
    """Byte-level tokens to ids and back: <s> A </s>, and for a pair <s> A </s></s> B </s>.

    BART has the same one. A word's token differs with the space before it, so "hello" at the
    beginning of a text is another token than in the middle, unless add_prefix_space is set.
    <mask> swallows the space before it, as in version 4 of transformers and in published files.
    """

    vocab_files_names: ClassVar[dict[str, str]] = FILES
    odd_to_longer: ClassVar[bool] = True
    default_tokens: ClassVar[dict[str, Any]] = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "cls_token": "<s>",
        "mask_token": "<mask>",
    }

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        merges_file: str | Path | None = None,
        errors: str = "replace",
        tokenizer_file: str | Path | None = None,
        add_prefix_space: bool | None = None,
        **settings: Any,
    ) -> None:
        """Read tokens and merges, and add the special tokens that they lack.

        Args:
            vocab_file: from token to id, as in vocab.json; not read if there is a tokenizer_file
            merges_file: merges.txt, which belongs to it
            errors: what decode does with bytes that are no text, as in bytes.decode; "replace"
                makes them U+FFFD.
            tokenizer_file: a tokenizer.json
            add_prefix_space: whether a text that begins with a word gets a space before it; None
                stands for what tokenizer_file says, or False.
            settings: those of PretrainedTokenizer, and bos_token and so on for others than
                default_tokens

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file is not of this kind.
            ModuleNotFoundError: if the library tokenizers is not installed.
        """
        content = read_tokenizer_json(tokenizer_file, "BPE")
        vocabulary = ByteLevelVocabulary(vocab_file, merges_file, content, add_prefix_space, errors)
        settings = {**self.default_tokens, **settings, "errors": errors}
        if isinstance(mask := settings["mask_token"], str):
            settings["mask_token"] = AddedToken(mask, lstrip=True, normalized=False, special=True)
        settings["add_prefix_space"] = vocabulary.add_prefix_space
        super().__init__(vocabulary, **with_tokens_of(content, settings))
        vocabulary.connect(self.table)

    def build_inputs_with_special_tokens(self, ids: Ids, pair_ids: Ids | None = None) -> Ids:
        """Return <s> A </s>, and </s> B </s> after it for a pair."""
        cls, sep = self.cls_token_id, self.sep_token_id
        return [cls, *ids, sep] if pair_ids is None else [cls, *ids, sep, sep, *pair_ids, sep]

    def create_token_type_ids_from_sequences(self, ids: Ids, pair_ids: Ids | None = None) -> Ids:
        """Mark everything with 0: RoBERTa has one type only."""
        return [0] * len(self.build_inputs_with_special_tokens(ids, pair_ids))

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write vocab.json, merges.txt and tokenizer.json.

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
        processors = import_tokenizers().processors
        template = processors.RobertaProcessing(sep, cls, True, vocabulary.add_prefix_space)
        files = vocabulary.to_files(self.added_tokens_decoder, template)
        return write_vocabulary(save_directory, filename_prefix, files)


class GPT2Tokenizer(PretrainedTokenizer):
    """Byte-level tokens to ids and back; nothing is added to a text.

    <|endoftext|> begins and ends a text and stands for the unknown. There is no pad_token; for
    padding, tokenizer.pad_token = tokenizer.eos_token chooses one. With add_bos_token, each text
    begins with bos_token.
    """

    vocab_files_names: ClassVar[dict[str, str]] = FILES
    odd_to_longer: ClassVar[bool] = True
    plain_pair_type: ClassVar[int] = 1
    default_tokens: ClassVar[dict[str, Any]] = {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": None,
    }

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        merges_file: str | Path | None = None,
        errors: str = "replace",
        tokenizer_file: str | Path | None = None,
        add_prefix_space: bool | None = None,
        add_bos_token: bool = False,
        **settings: Any,
    ) -> None:
        """Read tokens and merges, and add the special tokens that they lack.

        Args:
            vocab_file: from token to id, as in vocab.json; not read if there is a tokenizer_file
            merges_file: merges.txt, which belongs to it
            errors: what decode does with bytes that are no text, as in bytes.decode
            tokenizer_file: a tokenizer.json
            add_prefix_space: as for RobertaTokenizer
            add_bos_token: whether the template puts bos_token before each text
            settings: as for RobertaTokenizer

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a file is not of this kind.
            ModuleNotFoundError: if the library tokenizers is not installed.
        """
        content = read_tokenizer_json(tokenizer_file, "BPE")
        vocabulary = ByteLevelVocabulary(vocab_file, merges_file, content, add_prefix_space, errors)
        settings = {**self.default_tokens, **settings, "errors": errors}
        settings |= {
            "add_prefix_space": vocabulary.add_prefix_space,
            "add_bos_token": add_bos_token,
        }
        self.add_bos_token = add_bos_token
        super().__init__(vocabulary, **with_tokens_of(content, settings))
        vocabulary.connect(self.table)

    def build_inputs_with_special_tokens(self, ids: Ids, pair_ids: Ids | None = None) -> Ids:
        """Return the texts one after the other, each with bos_token before it if that is asked."""
        bos = [self.bos_token_id] if self.add_bos_token else []
        return [*bos, *ids] if pair_ids is None else [*bos, *ids, *bos, *pair_ids]

    def save_vocabulary(
        self, save_directory: str | Path, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write vocab.json, merges.txt and tokenizer.json, as RobertaTokenizer does."""
        vocabulary: Any = self.table.vocabulary
        template, bos = None, self.bos_token
        if self.add_bos_token:
            template = import_tokenizers().processors.TemplateProcessing(
                single=f"{bos} $A",
                pair=f"{bos} $A {bos}:1 $B:1",
                special_tokens=[(bos, self.bos_token_id)],
            )
        files = vocabulary.to_files(self.added_tokens_decoder, template)
        return write_vocabulary(save_directory, filename_prefix, files)
