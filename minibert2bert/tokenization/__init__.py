"""Text to ids and back."""

from minibert2bert.tokenization.pretrained_tokenizer import (
    AddedToken,
    BatchEncoding,
    PretrainedTokenizer,
)
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer

__all__ = ["AddedToken", "BatchEncoding", "BertGenerationTokenizer", "PretrainedTokenizer"]
