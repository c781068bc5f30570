"""Text to ids and back."""

from minibert2bert.tokenization.auto import AutoTokenizer
from minibert2bert.tokenization.batch_encoding import BatchEncoding
from minibert2bert.tokenization.byte_level_tokenizer import GPT2Tokenizer, RobertaTokenizer
from minibert2bert.tokenization.pretrained_tokenizer import PretrainedTokenizer
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer
from minibert2bert.tokenization.vocabulary import AddedToken
from minibert2bert.tokenization.wordpiece_tokenizer import BertTokenizer

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "BertGenerationTokenizer",
    "BertTokenizer",
    "GPT2Tokenizer",
    "PretrainedTokenizer",
    "RobertaTokenizer",
]
