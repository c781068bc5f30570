"""Fine-tune a model on files of texts: read, tokenize, train, and write what generate needs."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minibert2bert.checkpoints.folders import replacing
from minibert2bert.examples import Example, read_examples
from minibert2bert.finetuning.model import start_model
from minibert2bert.finetuning.settings import FinetuneSettings
from minibert2bert.finetuning.vocabulary import load_tokenizers
from minibert2bert.generation.pipeline import TARGET_TOKENIZER
from minibert2bert.training.events import Event, Saved, TrainingResult
from minibert2bert.training.loop import train
from minibert2bert.training.pairs import Tokenized, tokenize_examples
from minibert2bert.training.parallel import ALONE, Processes

RECIPE_FILE = "finetune.json"


def finetune(
    settings: FinetuneSettings,
    resume: bool = False,
    callbacks: Sequence[Callable[[Event], None]] = (),
    processes: Processes = ALONE,
) -> TrainingResult:
    """Do all that the command finetune does.

    The output folder then holds a model with its tokenizer, as generate and evaluate take it, the
    settings in finetune.json, log.jsonl, and the checkpoints of the run.

    Args:
        settings: files, models, lengths, and how to train
        resume: whether to go on with an earlier run in the same folder
        callbacks: called with each event of the training
        processes: those that train together

    Raises:
        ValueError: if a file, a model or a setting does not fit.
        OSError: if a file cannot be read or written.
        FloatingPointError: if the training goes astray.
    """
    examples = read(settings, settings.train)[: settings.limit]
    held_out = read(settings, settings.eval) if settings.eval else None
    texts = (text for example in examples for text in (example.source, *example.references))
    tokenizer, target_tokenizer = load_tokenizers(settings, texts)
    model = start_model(settings, tokenizer, target_tokenizer)
    pairs = tokenize(settings, settings.train, examples, tokenizer, target_tokenizer)
    eval_pairs = None
    if held_out is not None and settings.eval is not None:
        found = tokenize(settings, settings.eval, held_out, tokenizer, target_tokenizer)
        eval_pairs = found.pairs

    def write_tokenizers(event: Event) -> None:
        if isinstance(event, Saved) and Path(event.folder) == Path(settings.output):
            write_beside(settings, tokenizer, target_tokenizer)

    return train(
        model,
        pairs.pairs,
        settings.training,
        eval_pairs,
        settings.output,
        resume,
        [write_tokenizers, *callbacks],
        processes,
    )


def read(settings: FinetuneSettings, path: str) -> list[Example]:
    """Read a file of examples; see read_examples."""
    target = settings.target_column
    return read_examples(path, settings.source_column, None if target is None else [target])


def tokenize(
    settings: FinetuneSettings,
    path: str,
    examples: Sequence[Example],
    tokenizer: Any,
    target_tokenizer: Any,
) -> Tokenized:
    """Turn examples into ids, and say how many were cut."""
    found = tokenize_examples(
        examples,
        tokenizer,
        target_tokenizer,
        settings.max_source_length,
        settings.max_target_length,
    )
    print(
        f"{path}: {len(found.pairs)} pairs; cut to their limits: {found.cut_sources} sources, "
        f"{found.cut_targets} targets",
        file=sys.stderr,
    )
    return found


def write_beside(settings: FinetuneSettings, tokenizer: Any, target_tokenizer: Any) -> None:
    """Write the tokenizers and the settings into the output folder, beside the model."""
    folder = Path(settings.output)
    if target_tokenizer is not tokenizer:
        with replacing(folder / TARGET_TOKENIZER) as new:
            target_tokenizer.save_pretrained(new)
    with replacing(folder) as new:
        tokenizer.save_pretrained(new)
        text = json.dumps(settings.to_dict(), indent=2, ensure_ascii=False)
        (new / RECIPE_FILE).write_text(f"{text}\n", encoding="utf-8")
