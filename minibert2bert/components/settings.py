"""What the components read from a config: one list, so that a reader sees how little it is."""

from typing import Protocol


class Settings(Protocol):
    """The numbers and names that a BERT-style layer depends on; every config class has them."""

    @property
    def num_attention_heads(self) -> int:
        """N: heads of an attention; divides the hidden size."""

    @property
    def hidden_act(self) -> str:
        """Name of the feed-forward's activation, a key of ACTIVATIONS."""

    @property
    def hidden_dropout_prob(self) -> float:
        """Dropout rate of the embeddings and of every sub-layer's output."""

    @property
    def attention_probs_dropout_prob(self) -> float:
        """Dropout rate of the attention weights."""

    @property
    def layer_norm_eps(self) -> float:
        """Added to the variance in every layer norm."""

    @property
    def position_embedding_type(self) -> str:
        """One of absolute, relative_key and relative_key_query."""

    @property
    def zero_fully_masked(self) -> bool:
        """Whether a query that sees nothing gets zeros instead of the mean of all values."""
