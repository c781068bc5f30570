"""A BERT with a handful of pieces, for tests."""

from minibert2bert import BertConfig

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["red", "cat", "runs", "sleeps", "house", "and", "zebra"]
LETTERS = [*"abcdehnorstuz", *(f"##{letter}" for letter in "abcdehnorstuz")]
PIECES = [*SPECIAL[:2], "unused", *SPECIAL[2:], *WORDS, *LETTERS, ".", ",", "##x"]
CONFIG = BertConfig(
    vocab_size=len(PIECES),
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=80,
    pad_token_id=0,
)
