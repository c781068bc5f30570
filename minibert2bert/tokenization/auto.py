"""Choose the tokenizer's class by what a folder says, or by the files that are in it."""

from pathlib import Path
from typing import Any

from minibert2bert.hub import resolve_with
from minibert2bert.tokenization.byte_level_tokenizer import GPT2Tokenizer, RobertaTokenizer
from minibert2bert.tokenization.pretrained_tokenizer import PretrainedTokenizer
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer
from minibert2bert.tokenization.tokenizer_files import CONFIG, describe, read_json
from minibert2bert.tokenization.wordpiece_tokenizer import BertTokenizer

CLASSES: dict[str, type[PretrainedTokenizer]] = {
    "BertGenerationTokenizer": BertGenerationTokenizer,
    "BertTokenizer": BertTokenizer,
    "RobertaTokenizer": RobertaTokenizer,
    "BartTokenizer": RobertaTokenizer,
    "GPT2Tokenizer": GPT2Tokenizer,
}
"""By tokenizer_class; each is there with "Fast" after it, too."""

MODEL_TYPES: dict[str, type[PretrainedTokenizer]] = {
    "bert-generation": BertGenerationTokenizer,
    "bert": BertTokenizer,
    "roberta": RobertaTokenizer,
    "bart": RobertaTokenizer,
    "gpt2": GPT2Tokenizer,
}

ANY = {"PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"}
"""Classes that say nothing of the family."""


class AutoTokenizer:
    """A tokenizer of whatever family a folder is for."""

    @staticmethod
    def from_pretrained(folder: str | Path, **settings: Any) -> PretrainedTokenizer:
        """Read a tokenizer's folder with the class that belongs to it.

        The tokenizer_class in tokenizer_config.json decides, else that in config.json, else its
        model_type if the files of that family are there, else the files. Of an encoder-decoder, the
        encoder's model_type counts.

        Args:
            folder: as transformers or save_pretrained wrote it, or a name on the hub
            settings: arguments of the tokenizer; they win over those in the folder. Those of
                hub.resolve are used to find it.

        Raises:
            FileNotFoundError: if the folder, or a file of the vocabulary, is missing.
            ValueError: if the class is unknown, or a file cannot be read.
        """
        folder = resolve_with(folder, settings)
        config = read_json(folder / "config.json")
        names = (read_json(folder / CONFIG).get("tokenizer_class"), config.get("tokenizer_class"))
        name = next((name for name in names if name and name not in ANY), None)
        cls = _by_files(folder, config) if name is None else _by_name(name, folder)
        return cls.from_pretrained(folder, **settings)


def _by_name(name: str, folder: Path) -> type[PretrainedTokenizer]:
    known = CLASSES.get(name.removesuffix("Fast"))
    if known is None:
        raise ValueError(
            f"tokenizer_class in {folder} must be one of {sorted(CLASSES)}, got {name!r}"
        )
    return known


def _by_files(folder: Path, config: dict[str, Any]) -> type[PretrainedTokenizer]:
    found = {path.name for path in folder.iterdir()}
    by_type = MODEL_TYPES.get(config.get("encoder", config).get("model_type"))
    if by_type is not None and found.intersection(by_type.vocab_files_names.values()):
        return by_type
    if "spiece.model" in found:
        return BertGenerationTokenizer
    whole = read_json(folder / "tokenizer.json").get("model", {})
    if "vocab.txt" in found or whole.get("type") == "WordPiece":
        return BertTokenizer
    if "vocab.json" in found or whole.get("type") == "BPE":
        ids = whole.get("vocab") or read_json(folder / "vocab.json")
        return RobertaTokenizer if "<s>" in ids else GPT2Tokenizer
    raise FileNotFoundError(
        f"{folder} must say its tokenizer_class or model_type, or hold spiece.model, vocab.txt, "
        f"vocab.json or tokenizer.json; {describe(folder)}"
    )
