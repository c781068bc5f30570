"""Train the demo model: English to German, from nothing, on one processor core.

python -m minibert2bert.demo.train --data deu-eng.tsv.gz --output FOLDER
"""

import argparse
import io
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minibert2bert.demo.data import Split, read_pairs, split_pairs
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.models.config import BertGenerationConfig, EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer
from minibert2bert.training.batches import Pair
from minibert2bert.training.evaluation import mean_loss
from minibert2bert.training.events import Event, TrainingStep
from minibert2bert.training.loop import train
from minibert2bert.training.settings import TrainingSettings

VOCAB_SIZE = 4000
LONGEST_ROW, LONGEST_INPUT = 22, 64
SPECIAL_IDS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}


def train_tokenizer(split: Split, folder: Path) -> BertGenerationTokenizer:
    """Learn one vocabulary of pieces for both languages.

    Args:
        split: of which the training pairs are read
        folder: where spiece.model is written
    """
    import sentencepiece

    model = io.BytesIO()
    # By way of memory, for a trained model remembers the paths of its files.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(side for pair in split.train for side in pair),
        model_writer=model,
        vocab_size=VOCAB_SIZE,
        character_coverage=0.9998,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        pad_piece="<pad>",
        control_symbols=["<::::>"],
        num_threads=1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    return BertGenerationTokenizer(folder / "spiece.model", model_max_length=LONGEST_INPUT)


def tokenize_pairs(pairs: list[tuple[str, str]], tokenizer: BertGenerationTokenizer) -> list[Pair]:
    """Turn texts into ids; a label ends with the end token. Pairs that are too long are left out.

    Args:
        pairs: English and German
        tokenizer: of both languages
    """
    sources = tokenizer([source for source, _ in pairs])["input_ids"]
    targets = tokenizer([target for _, target in pairs])["input_ids"]
    return [
        (source, [*target, tokenizer.eos_token_id])
        for source, target in zip(sources, targets, strict=True)
        if 0 < len(source) <= LONGEST_ROW and len(target) < LONGEST_ROW
    ]


def fresh_model(seed: int) -> EncoderDecoderModel:
    """Make the model that is trained: 4.7 million parameters at random."""
    half = BertGenerationConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=768,
        max_position_embeddings=LONGEST_INPUT,
        **SPECIAL_IDS,
    )
    config = EncoderDecoderConfig.from_encoder_decoder_configs(
        half, half, decoder_start_token_id=SPECIAL_IDS["bos_token_id"], **SPECIAL_IDS
    )
    model = EncoderDecoderModel(config, rng=np.random.default_rng(seed))
    model.generation_config = GenerationConfig(
        max_length=LONGEST_INPUT, decoder_start_token_id=SPECIAL_IDS["bos_token_id"], **SPECIAL_IDS
    )
    return model


def print_progress(total_steps: int) -> Callable[[Event], None]:
    """Return a callback that prints every hundredth step."""
    started, steps = time.perf_counter(), deque[TrainingStep](maxlen=100)

    def report(event: Event) -> None:
        if not isinstance(event, TrainingStep):
            return
        steps.append(event)
        if event.step % 100 == 0:
            mean = sum(s.loss for s in steps) / len(steps)
            speed = sum(s.targets for s in steps) * event.step / len(steps)
            speed /= time.perf_counter() - started
            print(
                f"step {event.step}/{total_steps}  loss {mean:.3f}  {speed:.0f} targets/s",
                file=sys.stderr,
            )

    return report


def main(arguments: list[str] | None = None) -> None:
    """Read the data, train tokenizer and model, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="tab-separated English and German")
    parser.add_argument("--output", required=True, help="the folder to write")
    parser.add_argument("--steps", type=int, default=3000, help="number of updates")
    parser.add_argument("--batch-size", type=int, default=128, help="pairs in an update")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3, help="at the top")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order")
    options = parser.parse_args(arguments)

    split = split_pairs(read_pairs(options.data))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(split, Path(folder))
        pairs = tokenize_pairs(split.train, tokenizer)
        dev = tokenize_pairs(split.dev, tokenizer)
        print(f"{len(pairs)} pairs to train on", file=sys.stderr)
        model = fresh_model(options.seed)
        settings = TrainingSettings(
            max_steps=options.steps,
            train_batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            warmup_steps=min(300, options.steps // 10),
            final_share=0.02,
            adam_beta2=0.98,
            weight_decay=0.01,
            label_smoothing_factor=0.1,
            dropout=False,
            seed=options.seed,
        )
        train(model, pairs, settings, callbacks=[print_progress(options.steps)])
        print(f"loss on held-out pairs: {mean_loss(model, dev):.3f}", file=sys.stderr)
        model.save_pretrained(options.output, dtype="float16")
        tokenizer.save_pretrained(options.output)


if __name__ == "__main__":
    main()
