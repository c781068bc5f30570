"""Have a model answer sources, and compare its answers with references."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from minibert2bert.evaluation.metrics import METRICS, Texts, check_metrics, compute
from minibert2bert.evaluation.report import EvaluationReport
from minibert2bert.examples import Example
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.generate import merged_config
from minibert2bert.generation.pipeline import ids_of_tokenizer
from minibert2bert.generation.prompt import within_positions
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.training.evaluation import by_length, mean_loss
from minibert2bert.training.pairs import Rows, label_rows, source_rows

DEFAULTS = {"num_beams": 1, "length_penalty": 1.0, "length_penalty_style": "hf"}
"""What a recipe always names of the search, besides what was said."""


def evaluate(
    model: EncoderDecoderModel,
    tokenizer: Any,
    examples: Sequence[Example],
    metrics: Sequence[str] = tuple(METRICS),
    target_tokenizer: Any = None,
    batch_size: int = 32,
    lowercase: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> EvaluationReport:
    """Measure how good a model's answers are, and how good it would be to copy the sources.

    Sources and targets that are longer than the model can read are cut, and counted. The loss is
    that of the first reference of each example.

    Args:
        model: an encoder-decoder
        tokenizer: of its sources
        examples: at least one
        metrics: names, see metrics.METRICS
        target_tokenizer: of its answers, if it is another
        batch_size: sources answered together
        lowercase: whether the metrics take upper and lower case for the same
        on_progress: called with the number of answers so far, and of all
        options: of generate

    Raises:
        ValueError: if there is no example or no such metric, or a source has no tokens.
        ModuleNotFoundError: if a metric needs an extra that is missing.
    """
    check_metrics(metrics)
    if not examples:
        raise ValueError("evaluate needs at least one example, got none")
    target_tokenizer = tokenizer if target_tokenizer is None else target_tokenizer
    sources = [example.source for example in examples]
    references = [example.references for example in examples]
    config = search_config(model, target_tokenizer, options)
    rows, cut_sources = source_rows(tokenizer, sources, model.config.encoder.num_positions)
    labels, cut_targets = label_rows(
        target_tokenizer, [first for first, *_ in references], model.config.decoder.num_positions
    )
    loss = mean_loss(model, by_length(list(zip(rows, labels, strict=True))), batch_size)
    ids = answer_rows(model, tokenizer, rows, config, batch_size, on_progress)
    answers = target_tokenizer.batch_decode(ids, skip_special_tokens=True)
    answered = Texts(sources, answers, references, lowercase)
    copied = replace(answered, answers=sources)
    counted = {
        "examples": len(examples),
        "references": sum(map(len, references)),
        "cut_sources": cut_sources,
        "cut_targets": cut_targets,
        "lowercase": lowercase,
    }
    return EvaluationReport(
        loss,
        {name: compute(name, answered) for name in metrics},
        {name: compute(name, copied) for name in metrics},
        {**recipe_of(model, tokenizer, target_tokenizer, config), **counted},
        tuple(answers),
    )


def search_config(
    model: EncoderDecoderModel, target_tokenizer: Any, options: dict[str, Any]
) -> GenerationConfig:
    """Merge what the call, the model and the tokenizer say of the search; one answer a source.

    Args:
        model: an encoder-decoder
        target_tokenizer: of its answers; names the special ids that nobody else has named
        options: of generate
    """
    single = {"num_return_sequences": 1, "return_dict_in_generate": False}
    config = merged_config(model, None, {**options, **single})
    config = config.with_fallback(ids_of_tokenizer(target_tokenizer))
    return within_positions(config, 1, model.config.decoder.num_positions)


def answer_rows(
    model: EncoderDecoderModel,
    tokenizer: Any,
    rows: Rows,
    config: GenerationConfig,
    batch_size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Rows:
    """Answer sources in batches of like length, the longest first, in the order they came.

    Args:
        model: an encoder-decoder
        tokenizer: of the sources, which pads them
        rows: ids of the sources
        config: of the search
        batch_size: sources answered together
        on_progress: called with the number of answers so far, and of all
    """
    # The longest first, for if the memory does not suffice, that shows at once.
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    answers: Rows = [[] for _ in rows]
    for start in range(0, len(order), batch_size):
        group = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [rows[i] for i in group]}, return_tensors="np")
        ids = model.generate(batch["input_ids"], batch["attention_mask"], generation_config=config)
        for index, row in zip(group, ids.tolist(), strict=True):
            answers[index] = row
        if on_progress is not None:
            on_progress(start + len(group), len(rows))
    return answers


def recipe_of(
    model: EncoderDecoderModel, tokenizer: Any, target_tokenizer: Any, config: GenerationConfig
) -> dict[str, Any]:
    """Write down what the answers depend on, besides the weights and the sources."""
    search = {**DEFAULTS, **replace(config, other={}).to_dict()}
    return {
        "tokenizer": type(tokenizer).__name__,
        "vocabulary": len(tokenizer),
        "target_tokenizer": type(target_tokenizer).__name__,
        "target_vocabulary": len(target_tokenizer),
        "dtype": str(next(iter(model.parameters().values())).dtype),
        "max_source_tokens": model.config.encoder.num_positions,
        "max_target_tokens": model.config.decoder.num_positions,
        "generation": dict(sorted(search.items())),
    }
