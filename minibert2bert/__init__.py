"""BERT-warm-started encoder-decoder models in NumPy, every gradient written out."""

from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.pipeline import pipeline
from minibert2bert.generation.streaming import TextIteratorStreamer, TextStreamer
from minibert2bert.inspection.gradient_check import check_gradients
from minibert2bert.inspection.trace import trace
from minibert2bert.models.auto import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
)
from minibert2bert.models.bart import BartForCausalLM
from minibert2bert.models.bert import BertLMHeadModel, BertModel
from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder
from minibert2bert.models.config import (
    BartConfig,
    BertConfig,
    BertGenerationConfig,
    EncoderDecoderConfig,
    GPT2Config,
    RobertaConfig,
)
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.models.gpt2 import GPT2LMHeadModel
from minibert2bert.models.roberta import RobertaForCausalLM, RobertaModel
from minibert2bert.tokenization.auto import AutoTokenizer
from minibert2bert.tokenization.byte_level_tokenizer import GPT2Tokenizer, RobertaTokenizer
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer
from minibert2bert.tokenization.wordpiece_tokenizer import BertTokenizer
from minibert2bert.training.loop import train
from minibert2bert.training.optimizer import AdamW
from minibert2bert.training.settings import TrainingSettings

__version__ = "0.1.0"

__all__ = [
    "AdamW",
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoTokenizer",
    "BartConfig",
    "BartForCausalLM",
    "BertConfig",
    "BertGenerationConfig",
    "BertGenerationDecoder",
    "BertGenerationEncoder",
    "BertGenerationTokenizer",
    "BertLMHeadModel",
    "BertModel",
    "BertTokenizer",
    "EncoderDecoderConfig",
    "EncoderDecoderModel",
    "GPT2Config",
    "GPT2LMHeadModel",
    "GPT2Tokenizer",
    "GenerationConfig",
    "RobertaConfig",
    "RobertaForCausalLM",
    "RobertaModel",
    "RobertaTokenizer",
    "TextIteratorStreamer",
    "TextStreamer",
    "TrainingSettings",
    "check_gradients",
    "pipeline",
    "trace",
    "train",
]
