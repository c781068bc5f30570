"""Score the demo model on the sentences that were held out from its training.

python -m minibert2bert.demo.evaluate --data deu-eng.tsv.gz
"""

import argparse

from minibert2bert.demo import DEMO_FOLDER
from minibert2bert.demo.data import read_pairs, split_pairs
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
from minibert2bert.tokenization.sentencepiece_tokenizer import BertGenerationTokenizer

BATCH_SIZE = 100


def translate(
    model: EncoderDecoderModel,
    tokenizer: BertGenerationTokenizer,
    sources: list[str],
    num_beams: int,
) -> list[str]:
    """Translate sentences, in batches of like length.

    Args:
        model: the demo model
        tokenizer: its tokenizer
        sources: English sentences
        num_beams: 1 is greedy search.
    """
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    answers = [""] * len(sources)
    for start in range(0, len(order), BATCH_SIZE):
        group = order[start : start + BATCH_SIZE]
        batch = tokenizer([sources[i] for i in group], padding=True, return_tensors="np")
        ids = model.generate(batch["input_ids"], batch["attention_mask"], num_beams=num_beams)
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        for index, text in zip(group, texts, strict=True):
            answers[index] = text
    return answers


def score(answers: list[str], references: list[list[str]]) -> dict[str, float]:
    """Compare answers with all their references, and BLEU with the first alone.

    Args:
        answers: one a source
        references: one list a source

    Returns:
        BLEU and chrF of sacrebleu, and the percentage that equals a reference
    """
    from sacrebleu import corpus_bleu, corpus_chrf

    most = max(map(len, references))
    columns = [[refs[min(i, len(refs) - 1)] for refs in references] for i in range(most)]
    exact = sum(answer in refs for answer, refs in zip(answers, references, strict=True))
    return {
        "BLEU (one reference)": corpus_bleu(answers, columns[:1]).score,
        "BLEU (all references)": corpus_bleu(answers, columns).score,
        "chrF": corpus_chrf(answers, columns).score,
        "exact match": 100 * exact / len(answers),
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the scores, those of copying the source, and the first ten answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the file the model was trained from")
    parser.add_argument("--model", default=str(DEMO_FOLDER), help="the model's folder")
    parser.add_argument("--num-beams", type=int, default=1, help="1 is greedy search")
    options = parser.parse_args(arguments)

    held_out = split_pairs(read_pairs(options.data)).test
    sources = [source for source, _ in held_out]
    references = [translations for _, translations in held_out]
    model = EncoderDecoderModel.from_pretrained(options.model)
    tokenizer = BertGenerationTokenizer.from_pretrained(options.model)
    answers = translate(model, tokenizer, sources, options.num_beams)
    for name, texts in (("model", answers), ("copying the source", sources)):
        scores = ", ".join(f"{metric} {s:.1f}" for metric, s in score(texts, references).items())
        print(f"{name}: {scores}")
    for source, answer in list(zip(sources, answers, strict=True))[:10]:
        print(f"{source}\n    {answer}")


if __name__ == "__main__":
    main()
