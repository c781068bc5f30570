"""Which class belongs to which model_type."""

from minibert2bert.models.bart import BartForCausalLM
from minibert2bert.models.bert import BertLMHeadModel, BertModel
from minibert2bert.models.bert_generation import BertGenerationDecoder, BertGenerationEncoder
from minibert2bert.models.causal_lm import CausalLM
from minibert2bert.models.gpt2 import GPT2LMHeadModel
from minibert2bert.models.roberta import RobertaForCausalLM, RobertaModel
from minibert2bert.models.transformer import Transformer

ENCODERS: dict[str, type[Transformer]] = {
    "bert": BertModel,
    "bert-generation": BertGenerationEncoder,
    "roberta": RobertaModel,
}
DECODERS: dict[str, type[CausalLM]] = {
    "bart": BartForCausalLM,
    "bert": BertLMHeadModel,
    "bert-generation": BertGenerationDecoder,
    "gpt2": GPT2LMHeadModel,
    "roberta": RobertaForCausalLM,
}
