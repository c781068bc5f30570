"""Small tokenizers of the four kinds, trained where they are needed; this takes tokenizers."""

import random

from minibert2bert.demo import DEMO_FOLDER
from minibert2bert.tokenization import (
    BertGenerationTokenizer,
    BertTokenizer,
    GPT2Tokenizer,
    RobertaTokenizer,
)

WORDS = [
    *("abcdef", "the", "a", "dog", "stops", "stopper", "nonstop", "top", "opera", "sleeps,"),
    *("reads.", "never", "it's", "don't", "größer", "Straße", "漢字", "日本", "ไทย", "😀"),
    *("e\u0301", "3.5\n", "new\nline"),
]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]
KINDS = [BertGenerationTokenizer, BertTokenizer, RobertaTokenizer, GPT2Tokenizer]


def lines(seed=0, number=300):
    rng = random.Random(seed)
    return [
        "".join(rng.choice(WORDS) + rng.choice(["", " "]) for _ in range(9)) for _ in range(number)
    ]


def trained_folder(kind, path):
    """Write the files of a tokenizer; that of the demo is the one of the first kind."""
    if kind is BertGenerationTokenizer:
        return DEMO_FOLDER
    from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer

    if kind is BertTokenizer:
        trainer, special = BertWordPieceTokenizer(lowercase=False, strip_accents=False), {}
    else:
        trainer, special = ByteLevelBPETokenizer(), {"special_tokens": SPECIAL}
    trainer.train_from_iterator(lines(), vocab_size=400, show_progress=False, **special)
    trainer.save_model(str(path))
    return path
