"""The loss on pairs that are not trained on, and whether it depends on the sources."""

from collections.abc import Sequence

from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.batches import Pair, count_targets, make_batch
from minibert2bert.training.parallel import ALONE, Processes

LEAST_DEPENDENCE = 0.01
"""The share of the loss below which a model is said to ignore its sources."""


def mean_loss(
    model: EncoderDecoderModel,
    pairs: Sequence[Pair],
    batch_size: int = 32,
    processes: Processes = ALONE,
) -> float:
    """Measure the loss over pairs without training: nats for each target, dropout off.

    Args:
        model: an encoder-decoder
        pairs: sources and labels, the same on every process
        batch_size: pairs in a call
        processes: which take turns with the batches
    """
    pad = model.config.required_id("pad_token_id", "pad_token_id")
    starts = range(processes.rank * batch_size, len(pairs), processes.size * batch_size)
    total = 0.0
    for start in starts:
        batch = make_batch(pairs[start : start + batch_size], pad)
        output = model(batch["input_ids"], batch["attention_mask"], labels=batch["labels"])
        total += float(output.loss) * count_targets(pairs[start : start + batch_size])
    return processes.sum_numbers([total])[0] / count_targets(pairs)


def by_length(pairs: Sequence[Pair]) -> list[Pair]:
    """Sort pairs so that neighbours have sources of like length.

    Args:
        pairs: sources and labels
    """
    return sorted(pairs, key=_lengths)


def _lengths(pair: Pair) -> tuple[int, int]:
    return len(pair[0]), len(pair[1])


def with_sources_of_neighbours(pairs: Sequence[Pair]) -> list[Pair]:
    """Give each labels the source of the next pair, and the last those of the first.

    Args:
        pairs: sources and labels
    """
    sources = [source for source, _ in pairs]
    return [
        (source, labels)
        for source, (_, labels) in zip([*sources[1:], *sources[:1]], pairs, strict=True)
    ]


def evaluate(
    model: EncoderDecoderModel, pairs: Sequence[Pair], batch_size: int, processes: Processes = ALONE
) -> tuple[float, float | None]:
    """Measure the loss, and by how much it gets worse with the wrong sources.

    A model that translates suffers when it reads another sentence than the one it is to
    translate. One that has learnt the language of the targets alone does not care.

    Args:
        model: an encoder-decoder
        pairs: sources and labels, the same on every process
        batch_size: pairs in a call
        processes: which take turns with the batches

    Returns:
        loss: in nats for each target
        source_dependence: in nats for each target; None for a single pair
    """
    ordered = by_length(pairs)
    loss = mean_loss(model, ordered, batch_size, processes)
    if len(pairs) == 1:
        return loss, None
    swapped = with_sources_of_neighbours(ordered)
    return loss, mean_loss(model, swapped, batch_size, processes) - loss


def ignored_source(loss: float, source_dependence: float | None) -> str | None:
    """Tell if the sources make no difference.

    Args:
        loss: of the held-out pairs
        source_dependence: see evaluate

    Returns:
        message: None if they make one
    """
    if source_dependence is None or source_dependence >= LEAST_DEPENDENCE * loss:
        return None
    return (
        f"the held-out loss is {loss:.4g}, and only {source_dependence:.2g} higher when each "
        "target is read with another one's source: the model ignores its input. That is normal in "
        "the first steps after a warm start, whose cross-attention is new; if it stays so, look "
        "whether each source belongs to its target, and try more steps or a higher learning_rate"
    )
