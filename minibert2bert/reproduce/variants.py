"""One variant of the paper: train it by the recipe, and measure what has become of it."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minibert2bert.checkpoints.folders import replacing
from minibert2bert.evaluation.evaluate import evaluate
from minibert2bert.evaluation.metrics import Texts, compute
from minibert2bert.examples import read_examples
from minibert2bert.finetuning.finetune import finetune
from minibert2bert.finetuning.model import start_model
from minibert2bert.finetuning.settings import RANDOM, FinetuneSettings
from minibert2bert.generation.pipeline import pipeline
from minibert2bert.models.warm_start import VARIANTS
from minibert2bert.reproduce.wikisplit import Recipe, load_tokenizer, texts_of
from minibert2bert.training.events import Event
from minibert2bert.training.log import read_log
from minibert2bert.training.settings import TrainingSettings

METRICS = ("exact", "bleu", "sari")
RESULT_FILE = "result.json"
BERT_VARIANTS = tuple(
    name for name, plan in VARIANTS.items() if plan.encoder == plan.decoder == "bert"
)
"""Those whose halves are the same BERT, so that all but a shared one have the same size."""
EVALUATIONS = 5


def run_variant(
    recipe: Recipe, variant: str, seed: int, callbacks: Sequence[Callable[[Event], None]] = ()
) -> dict[str, Any]:
    """Train and measure a variant in OUTPUT/VARIANT-SEED, or go on where that has stopped.

    Args:
        recipe: prepared
        variant: one of BERT_VARIANTS
        seed: of random weights and of the order of the pairs
        callbacks: called with each event of the training

    Returns:
        what its result.json holds: numbers under names

    Raises:
        ValueError: if there is no such variant.
        FloatingPointError: if the training goes astray.
    """
    settings = settings_of(recipe, variant, seed)
    file = Path(settings.output) / RESULT_FILE
    if not file.is_file():
        finetune(settings, True, callbacks)
        result = {"variant": variant, "seed": seed, **start_of(settings), **curves(settings.output)}
        result["scores"] = measure(recipe, settings.output)
        with replacing(file.parent) as new:
            (new / RESULT_FILE).write_text(json.dumps(result) + "\n", encoding="utf-8")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def settings_of(recipe: Recipe, variant: str, seed: int) -> FinetuneSettings:
    """Say how a variant is trained, as the command finetune would be told.

    Args:
        recipe: what all variants have in common
        variant: one of BERT_VARIANTS
        seed: of random weights and of the order of the pairs

    Raises:
        ValueError: if there is no such variant.
    """
    if variant not in BERT_VARIANTS:
        raise ValueError(f"a variant must be one of {', '.join(BERT_VARIANTS)}, got {variant!r}")
    plan, output = VARIANTS[variant], Path(recipe.output)
    bert = str(output / "bert")
    every = max(1, recipe.steps // EVALUATIONS)
    return FinetuneSettings(
        encoder=bert if plan.encoder_pretrained else f"{RANDOM}:{bert}",
        decoder=bert if plan.decoder_pretrained else f"{RANDOM}:{bert}",
        train=str(output / "data" / "train.tsv"),
        eval=str(output / "data" / "held_out.tsv"),
        output=str(output / f"{variant}-{seed}"),
        tie=plan.shared,
        cross_attention_init=recipe.cross_attention_init,
        # Words that lost their piece are written in more than the whole vocabulary needed.
        max_source_length=2 * recipe.longest,
        max_target_length=2 * recipe.longest,
        training=TrainingSettings(
            learning_rate=recipe.learning_rate,
            max_steps=recipe.steps,
            train_batch_size=recipe.batch_size,
            warmup_steps=min(50, recipe.steps // 4),
            # Within an epoch or two nothing is learnt by heart yet.
            dropout=False,
            eval_every=every,
            save_every=every,
            save_total_limit=1,
            seed=seed,
        ),
    )


def start_of(settings: FinetuneSettings) -> dict[str, Any]:
    """Count the parameters of a variant, and those that came from the checkpoint.

    Cross-attention that is a copy of self-attention did not: no checkpoint has any.

    Args:
        settings: of the variant
    """
    tokenizer = load_tokenizer(str(Path(settings.output).parent / "bert"))
    model = start_model(settings, tokenizer, tokenizer)
    arrays = model.parameters()
    loaded = model.load_report.loaded if model.load_report is not None else []
    sizes = {id(array): array.size for array in arrays.values()}
    initialised = {id(arrays[name]) for name in loaded if name in arrays}
    return {
        "parameters": sum(sizes.values()),
        "initialised": sum(sizes[key] for key in initialised),
    }


def curves(folder: str, points: int = 20) -> dict[str, Any]:
    """Take the losses of a run from its log: pairs of step and loss, in nats for each target.

    Args:
        folder: of the run
        points: to which the training loss is thinned, each a mean of the steps that end there
    """
    rows = read_log(folder)
    held_out = [[row["step"], round(row["eval_loss"], 4)] for row in rows if "eval_loss" in row]
    losses = [row["loss"] for row in rows if "loss" in row]
    width = -(-len(losses) // points)
    spans = [losses[start : start + width] for start in range(0, len(losses), width)]
    ends = itertools.accumulate(map(len, spans))
    training = [
        [end, round(sum(span) / len(span), 4)] for end, span in zip(ends, spans, strict=True)
    ]
    return {"held_out": held_out, "training": training}


def measure(recipe: Recipe, folder: str) -> dict[str, float]:
    """Have a model answer the test's sources greedily, and score it in percent.

    Args:
        recipe: bert, output
        folder: of the model: that of the lowest held-out loss

    Returns:
        exact, bleu, sari, and the loss in nats for each target
    """
    examples = read_examples(Path(recipe.output) / "data" / "test.tsv")
    parts = pipeline("text2text-generation", folder)
    report = evaluate(parts.model, parts.tokenizer, examples, metrics=(), num_beams=1)
    return {**score(recipe, report.answers), "loss": round(report.loss, 4)}


def score(recipe: Recipe, answers: Sequence[str] | None = None) -> dict[str, float]:
    """Compare answers with the references of the test; without answers, the sources are scored.

    All texts are compared as BERT reads them: lower case, words and punctuation between spaces.

    Args:
        recipe: bert, output
        answers: one for each line of OUTPUT/data/test.tsv

    Returns:
        exact, bleu, sari: in percent
    """
    tokenizer = load_tokenizer(recipe.bert)
    examples = read_examples(Path(recipe.output) / "data" / "test.tsv")
    sources, references = (
        as_words(tokenizer, [texts_of(example)[side] for example in examples]) for side in (0, 1)
    )
    written = sources if answers is None else as_words(tokenizer, answers)
    texts = Texts(sources, written, [[reference] for reference in references], lowercase=True)
    return {name: round(compute(name, texts).value, 2) for name in METRICS}


def as_words(tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Write texts as BERT reads them, with a space around each word and punctuation mark.

    Args:
        tokenizer: with the whole vocabulary; what it does not know is left out.
        texts: in any case, spaced in any way
    """
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    prefix = tokenizer.table.vocabulary.prefix
    tokens = (tokenizer.convert_ids_to_tokens(row, skip_special_tokens=True) for row in rows)
    return [" ".join(row).replace(f" {prefix}", "") for row in tokens]
