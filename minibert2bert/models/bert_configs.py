"""The configs of the BERT-like families."""

from dataclasses import dataclass
from typing import ClassVar

from minibert2bert.components.activations import activation
from minibert2bert.models.base_config import ModelConfig, check_heads, check_pad

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")


@dataclass
class BertLikeConfig(ModelConfig):
    """The settings that BERT, RoBERTa and BertGeneration share.

    zero_fully_masked is this package's own: whether a query that sees nothing gets zeros
    instead of the mean of all values.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    zero_fully_masked: bool = False

    def __post_init__(self) -> None:
        activation(self.hidden_act)
        check_heads(self.hidden_size, self.num_attention_heads)
        check_pad(self.pad_token_id, self.vocab_size)
        if self.position_embedding_type not in POSITION_EMBEDDING_TYPES:
            raise ValueError(
                f"position_embedding_type must be one of {POSITION_EMBEDDING_TYPES}, "
                f"got {self.position_embedding_type!r}"
            )

    @property
    def causal(self) -> bool:
        """Whether a position may see only itself and what came before."""
        return self.is_decoder

    @property
    def num_layers(self) -> int:
        """The number of layers in the stack."""
        return self.num_hidden_layers

    @property
    def num_positions(self) -> int:
        """The longest sequence."""
        return self.max_position_embeddings


@dataclass
class BertGenerationConfig(BertLikeConfig):
    """The settings of a BertGeneration encoder or decoder, with the reference's defaults."""

    model_type: ClassVar[str] = "bert-generation"
    # A BERT file can start a BertGeneration model: what that has no place for is left out.
    also_reads: ClassVar[tuple[str, ...]] = ("bert",)

    vocab_size: int = 50358
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    bos_token_id: int | None = 2
    eos_token_id: int | None = 1


@dataclass
class BertConfig(BertLikeConfig):
    """The settings of BERT.

    type_vocab_size counts the kinds of segments; add_pooling_layer, a keyword of the reference's
    classes, says whether there is a pooler.
    """

    model_type: ClassVar[str] = "bert"

    type_vocab_size: int = 2
    add_pooling_layer: bool = True

    @property
    def num_segments(self) -> int:
        """The number of kinds of segments."""
        return self.type_vocab_size


@dataclass
class RobertaConfig(BertLikeConfig):
    """The settings of RoBERTa, whose positions begin behind that of the padding."""

    model_type: ClassVar[str] = "roberta"

    vocab_size: int = 50265
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2
    type_vocab_size: int = 2
    add_pooling_layer: bool = True

    @property
    def num_segments(self) -> int:
        """The number of kinds of segments."""
        return self.type_vocab_size

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pad_token_id is None:
            raise ValueError(
                "RobertaConfig needs pad_token_id: positions are counted from there, got None"
            )

    @property
    def num_positions(self) -> int:
        """The longest sequence: the first positions of the table belong to the padding."""
        return self.max_position_embeddings - (self.pad_token_id or 0) - 1
