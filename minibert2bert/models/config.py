"""Configs: what the checkpoints' config.json says."""

import dataclasses
import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from minibert2bert.checkpoints.folders import recover
from minibert2bert.components.activations import activation

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")


@dataclass
class ModelConfig:
    """What all configs can do: come from a dict or a folder, and go back there.

    Attributes:
        other: keys of the file that this package does not use; kept, readable as attributes
            and written back
    """

    model_type: ClassVar[str]
    also_reads: ClassVar[tuple[str, ...]] = ()
    other: dict[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    @property
    def num_segments(self) -> int:
        """The number of kinds of segments; 0 in families that do not tell them apart."""
        return 0

    @classmethod
    def field_names(cls) -> list[str]:
        """List the settings that this package knows."""
        return [f.name for f in dataclasses.fields(cls) if f.name != "other"]

    @classmethod
    def from_dict(cls, settings: dict[str, Any], **overrides: Any) -> Self:
        """Build a config from the contents of a config.json.

        Args:
            settings: the file's keys and values
            overrides: fields to use instead of the file's

        Raises:
            ValueError: if an override is no field of this config; the message names the closest.
        """
        names = cls.field_names()
        for name in overrides:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ValueError(f"{cls.__name__} has no setting {name!r}{hint}")
        known = {name: settings[name] for name in names if name in settings}
        unknown = {k: v for k, v in settings.items() if k not in (*names, "model_type")}
        return cls(**{**known, **overrides}, other=unknown)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **overrides: Any) -> Self:
        """Read a folder's config.json.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is not JSON, or belongs to another model type.
        """
        settings = read_config(folder)
        found = settings.get("model_type", cls.model_type).replace("_", "-")
        if found not in (cls.model_type, *cls.also_reads):
            raise ValueError(
                f"{cls.__name__} reads model_type {cls.model_type!r}, but "
                f"{Path(folder) / 'config.json'} says {found!r}; use the class of that type"
            )
        return cls.from_dict(settings, **overrides)

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of a config.json; what has its default is written too."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["other"]
        for name, default in (("zero_fully_masked", False), ("add_pooling_layer", True)):
            if fields.get(name) == default:
                del fields[name]
        return {**self.other, "model_type": self.model_type, **fields}

    def to_json(self) -> str:
        """Return the text of a config.json."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __getattr__(self, name: str) -> Any:
        other = self.__dict__.get("other", {})
        if name in other:
            return other[name]
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")


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


def check_heads(hidden_size: int, heads: int) -> None:
    """Refuse a width that the heads cannot share evenly.

    Raises:
        ValueError: if the heads do not divide the hidden size.
    """
    if hidden_size % heads:
        raise ValueError(
            f"hidden_size must be a multiple of num_attention_heads, got {hidden_size} and {heads}"
        )


def check_pad(pad_token_id: int | None, vocab_size: int) -> None:
    """Refuse a pad token outside of the vocabulary.

    Raises:
        ValueError: if it is.
    """
    if pad_token_id is not None and not 0 <= pad_token_id < vocab_size:
        raise ValueError(f"pad_token_id must be below vocab_size {vocab_size}, got {pad_token_id}")


CONFIGS: dict[str, type[ModelConfig]] = {
    config.model_type: config
    for config in (BertConfig, BertGenerationConfig, RobertaConfig, GPT2Config, BartConfig)
}


def config_from_dict(settings: dict[str, Any], **overrides: Any) -> ModelConfig:
    """Build the config of a part from its dict, choosing the class by model_type.

    Raises:
        ValueError: if the type is unknown; the message lists the known ones and the closest.
    """
    model_type = str(settings.get("model_type")).replace("_", "-")
    if model_type not in CONFIGS:
        close = difflib.get_close_matches(model_type, CONFIGS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown model_type {model_type!r}, known are {sorted(CONFIGS)}{hint}")
    return CONFIGS[model_type].from_dict(settings, **overrides)


@dataclass
class EncoderDecoderConfig(ModelConfig):
    """Two configs, and what belongs to the pair.

    Attributes:
        encoder: config of the encoder, or its dict
        decoder: config of the decoder, or its dict
        pad_token_id: fills up shorter rows
        decoder_start_token_id: the decoder's first token
        bos_token_id: the tokenizer's first token; the start token where that is unset
        eos_token_id: ends a text
        tie_encoder_decoder: whether the encoder's parameters are the decoder's, too
        is_encoder_decoder: always True
    """

    model_type: ClassVar[str] = "encoder-decoder"

    encoder: Any = None
    decoder: Any = None
    pad_token_id: int | None = None
    decoder_start_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_encoder_decoder: bool = False
    is_encoder_decoder: bool = True

    def __post_init__(self) -> None:
        for part in ("encoder", "decoder"):
            config = getattr(self, part)
            if isinstance(config, dict):
                setattr(self, part, config_from_dict(config))
            elif not isinstance(config, ModelConfig):
                raise ValueError(
                    f"EncoderDecoderConfig needs the {part}'s config, got {config!r}; use "
                    "EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)"
                )

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder: ModelConfig, decoder: ModelConfig, **settings: Any
    ) -> Self:
        """Pair two configs; the decoder's copy becomes a decoder with cross-attention."""
        decoder = decoder.replace(is_decoder=True, add_cross_attention=True)
        return cls.from_dict({"encoder": encoder, "decoder": decoder}, **settings)

    def required_id(self, name: str, of_tokenizer: str) -> int:
        """Return a token id that must be set.

        Args:
            name: of the setting
            of_tokenizer: the tokenizer's attribute that usually has it

        Raises:
            ValueError: if it is None; the message gives the line to write.
        """
        token_id = getattr(self, name)
        if token_id is None:
            raise ValueError(
                f"config.{name} must be set, got None; "
                f"write model.config.{name} = tokenizer.{of_tokenizer}"
            )
        return int(token_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of a config.json, with both parts' inside."""
        parts = {"encoder": self.encoder.to_dict(), "decoder": self.decoder.to_dict()}
        return {**super().to_dict(), **parts}


CONFIGS[EncoderDecoderConfig.model_type] = EncoderDecoderConfig


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read a folder's config.json as a dict.

    Raises:
        FileNotFoundError: if there is none; the message lists what is there.
        ValueError: if it is not a JSON object.
    """
    recover(folder)
    path = Path(folder) / "config.json"
    if not path.is_file():
        found = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else None
        content = "there is no such folder" if found is None else f"it holds {found or 'nothing'}"
        raise FileNotFoundError(f"{folder} must be a model's folder with config.json; {content}")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); copy the file again") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(settings).__name__}")
    return settings
