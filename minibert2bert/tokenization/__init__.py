"""Text to ids and back."""

from minibert2bert.tokenization.batch_encoding import BatchEncoding
from minibert2bert.tokenization.pretrained_tokenizer import PretrainedTokenizer
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer
from minibert2bert.tokenization.vocabulary import AddedToken

__all__ = ["AddedToken", "BatchEncoding", "BertGenerationTokenizer", "PretrainedTokenizer"]
