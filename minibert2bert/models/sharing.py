"""Sharing an encoder's parameters with its decoder: one array under two names."""

from minibert2bert.arrays import Params, flatten, nest
from minibert2bert.models.config import EncoderDecoderConfig
from minibert2bert.models.families import DECODERS, ENCODERS


def shared_names(config: EncoderDecoderConfig) -> dict[str, str]:
    """Pair the names of what a tied encoder shares with its decoder; empty if nothing is tied.

    Shared is what both stacks have: the embeddings, self-attention and feed-forward. Pooler,
    cross-attention, projection and head belong to one side alone.

    Returns:
        from the encoder's name to the decoder's

    Raises:
        ValueError: if the two cannot be tied, being of other types or sizes.
    """
    if not config.tie_encoder_decoder:
        return {}
    encoder = ENCODERS[config.encoder.model_type].parameter_shapes(config.encoder)
    kind = DECODERS[config.decoder.model_type]
    decoder = kind.parameter_shapes(config.decoder)
    pairs = {name: ".".join((*kind.branch, name)) for name in encoder}
    shared = {name: twin for name, twin in pairs.items() if twin in decoder}
    different = [name for name, twin in shared.items() if encoder[name] != decoder[twin]]
    if config.encoder.model_type != config.decoder.model_type or different:
        raise ValueError(
            "tie_encoder_decoder=True needs an encoder and a decoder of one type and size, got "
            f"{config.encoder.model_type} and {config.decoder.model_type}"
            + (f", which differ in {different[0]}" if different else "")
        )
    return {f"encoder.{name}": f"decoder.{twin}" for name, twin in shared.items()}


def tie(params: Params, config: EncoderDecoderConfig) -> Params:
    """Put the decoder's arrays in the encoder's places, if the config ties them.

    Two names of one array: that identity is the sharing.
    """
    flat = flatten(params)
    return nest({**flat, **{name: flat[twin] for name, twin in shared_names(config).items()}})
