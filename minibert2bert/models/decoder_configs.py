"""The configs of the families that are decoders only: GPT-2 and BART's second half."""

from dataclasses import dataclass
from typing import ClassVar

from minibert2bert.components.activations import activation
from minibert2bert.models.base_config import ModelConfig, check_heads, check_pad


@dataclass
class GPT2Config(ModelConfig):
    """The settings of GPT-2, with the reference's defaults.

    n_inner is the width of the feed-forward, None for four times n_embd. Two settings change
    nothing: is_decoder, for GPT-2 is always causal, and reorder_and_upcast_attn, which is about
    half precision. zero_fully_masked is this package's own, as in BertLikeConfig.
    """

    model_type: ClassVar[str] = "gpt2"

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
    pad_token_id: int | None = None
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    use_cache: bool = True
    is_decoder: bool = True
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    zero_fully_masked: bool = False

    def __post_init__(self) -> None:
        activation(self.activation_function)
        check_heads(self.n_embd, self.n_head)
        check_pad(self.pad_token_id, self.vocab_size)

    @property
    def causal(self) -> bool:
        """Whether a position may see only itself and what came before: always."""
        return True

    @property
    def num_layers(self) -> int:
        """The number of blocks in the stack."""
        return self.n_layer

    @property
    def num_positions(self) -> int:
        """The longest sequence."""
        return self.n_positions

    @property
    def hidden_size(self) -> int:
        """Another name of n_embd."""
        return self.n_embd

    @property
    def num_hidden_layers(self) -> int:
        """Another name of n_layer."""
        return self.n_layer

    @property
    def num_attention_heads(self) -> int:
        """Another name of n_head."""
        return self.n_head

    @property
    def max_position_embeddings(self) -> int:
        """Another name of n_positions."""
        return self.n_positions

    @property
    def intermediate_size(self) -> int:
        """The width of the feed-forward."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner


@dataclass
class BartConfig(ModelConfig):
    """The settings of BART, with the reference's defaults.

    Of BART there is the decoder alone: is_decoder and add_cross_attention are always True and
    is_encoder_decoder False, whatever a file says, and what begins with encoder_ is only kept for
    the file. zero_fully_masked is this package's own, as in BertLikeConfig.
    """

    model_type: ClassVar[str] = "bart"

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    d_model: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = False
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    decoder_start_token_id: int | None = 2
    forced_eos_token_id: int | list[int] | None = 2
    use_cache: bool = True
    is_decoder: bool = True
    is_encoder_decoder: bool = False
    add_cross_attention: bool = True
    tie_word_embeddings: bool = True
    zero_fully_masked: bool = False

    def __post_init__(self) -> None:
        activation(self.activation_function)
        check_heads(self.d_model, self.decoder_attention_heads)
        check_pad(self.pad_token_id, self.vocab_size)
        self.is_decoder = self.add_cross_attention = True
        self.is_encoder_decoder = False

    @property
    def causal(self) -> bool:
        """Whether a position may see only itself and what came before: always."""
        return True

    @property
    def num_layers(self) -> int:
        """The number of layers in the stack."""
        return self.decoder_layers

    @property
    def num_positions(self) -> int:
        """The longest sequence; the table has two rows more, see bart.py."""
        return self.max_position_embeddings

    @property
    def hidden_size(self) -> int:
        """Another name of d_model."""
        return self.d_model

    @property
    def num_hidden_layers(self) -> int:
        """Another name of decoder_layers; in the reference, of encoder_layers."""
        return self.decoder_layers

    @property
    def num_attention_heads(self) -> int:
        """Another name of decoder_attention_heads; in the reference, of the encoder's."""
        return self.decoder_attention_heads

    @property
    def hidden_act(self) -> str:
        """Another name of activation_function."""
        return self.activation_function

    @property
    def hidden_dropout_prob(self) -> float:
        """Another name of dropout."""
        return self.dropout

    @property
    def attention_probs_dropout_prob(self) -> float:
        """Another name of attention_dropout."""
        return self.attention_dropout

    @property
    def initializer_range(self) -> float:
        """Another name of init_std."""
        return self.init_std

    @property
    def layer_norm_eps(self) -> float:
        """What is added to the variance in every layer norm; no setting in BART."""
        return 1e-5

    @property
    def position_embedding_type(self) -> str:
        """The kind of positions; no setting in BART."""
        return "absolute"
