"""Text in, text out: a tokenizer, a model and a search put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert2bert.checkpoints.folders import recover
from minibert2bert.generation.config import GenerationConfig
from minibert2bert.generation.generate import merged_config
from minibert2bert.hub import resolve
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

TASKS = ("text2text-generation",)
DEMO_FOLDER = Path(__file__).parents[1] / "demo"
"""Where the demo model's files are."""
BATCH_SIZE = 32
TARGET_TOKENIZER = "target_tokenizer"
"""The folder, inside of a model's, of the answers' tokenizer where it is not the sources'."""


@dataclass(frozen=True)
class Answer:
    """What a model made of a text.

    Attributes:
        source: the text it was given
        text: the text it generated
        score: the sum of the log-probabilities over the length to the power length_penalty
    """

    source: str
    text: str
    score: float


class Text2TextGenerationPipeline:
    """A tokenizer and a model that turn texts into texts.

    Attributes:
        model: an encoder-decoder
        tokenizer: of its sources
        target_tokenizer: of its answers; the same, unless the two halves speak differently
    """

    def __init__(
        self, model: EncoderDecoderModel, tokenizer: Any, target_tokenizer: Any = None
    ) -> None:
        """Put the parts together.

        Args:
            model: an encoder-decoder
            tokenizer: of its sources
            target_tokenizer: of its answers, if it is another

        Raises:
            ValueError: if a tokenizer has ids that the model has no embedding for.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.target_tokenizer = target_tokenizer or tokenizer
        check_vocabulary("encoder", self.tokenizer, model.config.encoder.vocab_size)
        check_vocabulary("decoder", self.target_tokenizer, model.config.decoder.vocab_size)

    def __call__(self, texts: str | Sequence[str], **options: Any) -> list[dict[str, str]]:
        """Answer one text or many.

        Args:
            texts: one text, or a list of them
            options: of generate

        Returns:
            a dict with generated_text for each answer, in order
        """
        listed = [texts] if isinstance(texts, str) else list(texts)
        return [{"generated_text": answer.text} for answer in self.answers(listed, **options)]

    def answers(self, texts: Sequence[str], **options: Any) -> list[Answer]:
        """Answer texts, with scores; num_return_sequences answers a text.

        Args:
            texts: at least one
            options: of generate

        Raises:
            ValueError: if a text is empty or longer than the model reads.
        """
        found = []
        for start in range(0, len(texts), BATCH_SIZE):
            found += self._answer_batch(list(texts[start : start + BATCH_SIZE]), options)
        return found

    def _answer_batch(self, texts: list[str], options: dict[str, Any]) -> list[Answer]:
        batch = self.tokenizer(texts, padding=True, return_tensors="np")
        longest = self.model.config.encoder.num_positions
        for text, length in zip(texts, batch["attention_mask"].sum(axis=1), strict=True):
            if not 0 < length <= longest:
                raise ValueError(
                    f"a text must have 1 to {longest} tokens, got {length} in {text[:60]!r}; "
                    f"{'shorten or split it' if length else 'leave it out'}"
                )
        # What nobody else has said of the special ids, the tokenizer knows.
        merged = merged_config(self.model, options.get("generation_config"), {})
        config = merged.with_fallback(ids_of_tokenizer(self.target_tokenizer))
        options = {"tokenizer": self.target_tokenizer, **options, "generation_config": config}
        output = self.model.generate(
            batch["input_ids"],
            batch["attention_mask"],
            **{**options, "return_dict_in_generate": True},
        )
        answers = self.target_tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
        each = len(answers) // len(texts)
        sources = [text for text in texts for _ in range(each)]
        scores = [hypothesis.score for hypothesis in output.hypotheses]
        return [Answer(*parts) for parts in zip(sources, answers, scores, strict=True)]


def ids_of_tokenizer(tokenizer: Any) -> GenerationConfig:
    """Name the special ids by the tokenizer: [CLS] starts and [SEP] ends where <s>, </s> lack."""
    start = tokenizer.bos_token_id
    end = tokenizer.eos_token_id
    if start is None:
        start = getattr(tokenizer, "cls_token_id", None)
    if end is None:
        end = tokenizer.sep_token_id
    return GenerationConfig(
        pad_token_id=tokenizer.pad_token_id, decoder_start_token_id=start, eos_token_id=end
    )


def check_vocabulary(side: str, tokenizer: Any, vocab_size: int) -> None:
    """Refuse a tokenizer that knows more tokens than the model.

    Raises:
        ValueError: if it does.
    """
    if len(tokenizer) > vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, but the {side}'s vocab_size is "
            f"{vocab_size}; load the tokenizer that belongs to the model, or make room with "
            f'model.resize_token_embeddings({len(tokenizer)}, side="{side}")'
        )


def pipeline(
    task: str, model: Any = None, tokenizer: Any = None, target_tokenizer: Any = None
) -> Text2TextGenerationPipeline:
    """Put a task's parts together.

    Args:
        task: "text2text-generation"
        model: an encoder-decoder, its folder or its name on the hub; the demo model by default
        tokenizer: of its sources; from the model's folder by default
        target_tokenizer: of its answers, if it is another

    Raises:
        ValueError: if the task is another one, or a model was given without a tokenizer.
    """
    from minibert2bert.tokenization.auto import AutoTokenizer

    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    if isinstance(model, EncoderDecoderModel):
        if tokenizer is None:
            raise ValueError("a model needs its tokenizer; give tokenizer, or the model's folder")
        return Text2TextGenerationPipeline(model, tokenizer, target_tokenizer)
    folder = resolve(DEMO_FOLDER if model is None else model)
    recover(folder)
    tokenizer = tokenizer or AutoTokenizer.from_pretrained(folder)
    if target_tokenizer is None and (folder / TARGET_TOKENIZER).is_dir():
        target_tokenizer = AutoTokenizer.from_pretrained(folder / TARGET_TOKENIZER)
    loaded = EncoderDecoderModel.from_pretrained(folder)
    return Text2TextGenerationPipeline(loaded, tokenizer, target_tokenizer)
