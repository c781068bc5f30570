"""The data and the recipe for sentence splitting on WikiSplit (Botha et al., 2018)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minibert2bert.checkpoints.folders import replacing
from minibert2bert.examples import Example, read_examples
from minibert2bert.models.bert import BertModel
from minibert2bert.reproduce.vocabulary_cut import cut_model, cut_tokenizer, pieces_to_keep
from minibert2bert.tokenization.auto import AutoTokenizer
from minibert2bert.tokenization.wordpiece_tokenizer import BertTokenizer

SEPARATOR = "<::::>"
FILES = ("tune", "validation", "test")
RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class Recipe:
    """What all variants have in common.

    Attributes:
        bert: folder or name of a BERT with a WordPiece vocabulary
        data: folder with tune.tsv, validation.tsv and test.tsv of WikiSplit, plain or .gz
        output: the folder to write
        steps: of the optimizer; 50 of them, or a quarter of fewer than 200, warm up.
        learning_rate: the highest; after the warm-up it falls to 0 in a line.
        batch_size: pairs in a step
        cross_attention_init: "self" or "random", see warm_start
        longest: pieces of a text, of the whole vocabulary; pairs with more are left out.
        least: how often a piece must occur to stay in the vocabulary
        held_out: pairs for the held-out loss
        test: pairs for the metrics
    """

    bert: str
    data: str
    output: str
    steps: int = 500
    learning_rate: float = 5e-4
    batch_size: int = 16
    cross_attention_init: str = "self"
    longest: int = 40
    least: int = 8
    held_out: int = 200
    test: int = 500

    @property
    def numbers(self) -> dict[str, Any]:
        """All that results depend on, but the places of the files."""
        places = ("bert", "data", "output")
        return {name: value for name, value in asdict(self).items() if name not in places}


def prepare(recipe: Recipe) -> None:
    """Write what all variants start from: OUTPUT/bert, OUTPUT/data and OUTPUT/recipe.json.

    bert is the given BERT with its vocabulary cut to the training texts; data holds train.tsv,
    held_out.tsv and test.tsv, a pair a line without the separator. What is there stays.

    Args:
        recipe: all of it

    Raises:
        ValueError: if a file is missing or holds too few pairs, or if the folder holds the results
            of another recipe.
    """
    output = Path(recipe.output)
    if (output / RECIPE_FILE).is_file():
        check_same_recipe(recipe)
        return
    tokenizer = load_tokenizer(recipe.bert)
    train, held_out, test = split_pairs(recipe, tokenizer)
    texts = [text for pair in train for text in texts_of(pair)]
    kept = pieces_to_keep(tokenizer, texts, recipe.least)
    model = cut_model(BertModel.from_pretrained(recipe.bert), kept)
    model.save_pretrained(output / "bert")
    with replacing(output / "bert") as new:
        cut_tokenizer(tokenizer, kept).save_pretrained(new)
    with replacing(output / "data") as new:
        for name, pairs in (("train", train), ("held_out", held_out), ("test", test)):
            lines = ["\t".join(texts_of(pair)) + "\n" for pair in pairs]
            (new / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    # Last, for it says that the rest is whole.
    with replacing(output) as new:
        (new / RECIPE_FILE).write_text(json.dumps(recipe.numbers) + "\n", encoding="utf-8")


def check_same_recipe(recipe: Recipe) -> None:
    """Refuse to mix the results of two recipes in one table.

    Raises:
        ValueError: if OUTPUT/recipe.json differs; the message names what does.
    """
    file = Path(recipe.output) / RECIPE_FILE
    before = json.loads(file.read_text(encoding="utf-8"))
    changes = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in recipe.numbers.items()
        if before.get(name) != value
    ]
    if changes:
        raise ValueError(
            f"{recipe.output} holds the runs of another recipe: {'; '.join(changes)}; repeat those "
            "options to go on with it, or choose another output"
        )


def load_tokenizer(bert: str) -> BertTokenizer:
    """Read a BERT's tokenizer.

    Raises:
        ValueError: if it is not WordPiece.
    """
    tokenizer = AutoTokenizer.from_pretrained(bert)
    if not isinstance(tokenizer, BertTokenizer):
        raise ValueError(
            f"{bert} must be a BERT with a WordPiece vocabulary, got {type(tokenizer).__name__}"
        )
    return tokenizer


def split_pairs(
    recipe: Recipe, tokenizer: BertTokenizer
) -> tuple[list[Example], list[Example], list[Example]]:
    """Choose the pairs: tune and the rest of validation to train on, validation's first held out.

    Args:
        recipe: data, longest, held_out, test
        tokenizer: with the whole vocabulary

    Returns:
        train, held_out, test

    Raises:
        ValueError: if there are too few.
    """
    tune, validation, test = (
        of_length(read_pairs(Path(recipe.data), name), tokenizer, recipe.longest) for name in FILES
    )
    train = tune + validation[recipe.held_out :]
    if len(validation) < recipe.held_out or len(test) < recipe.test or not train:
        raise ValueError(
            f"{recipe.data} has {len(tune)}, {len(validation)} and {len(test)} pairs of at most "
            f"{recipe.longest} pieces in {', '.join(FILES)}: too few to hold {recipe.held_out} of "
            f"validation out and to test on {recipe.test}; ask for fewer"
        )
    return train, validation[: recipe.held_out], test[: recipe.test]


def read_pairs(folder: Path, name: str) -> list[Example]:
    """Read a file of WikiSplit; the two sentences of a target are joined by a space.

    The separator is left out: nearly always a full stop stands before it, and the paper's [SEP] is
    the token that ends an answer here.

    Args:
        folder: with tune.tsv and so on, plain or .gz
        name: of the file, without the suffix

    Raises:
        ValueError: if there is no such file.
    """
    found = [path for path in (folder / f"{name}.tsv", folder / f"{name}.tsv.gz") if path.is_file()]
    if not found:
        raise ValueError(
            f"{folder} must hold {', '.join(f'{file}.tsv' for file in FILES)} of WikiSplit, or "
            f"the same with .gz, but has no {name}.tsv; they are in "
            "https://github.com/google-research-datasets/wiki-split"
        )
    examples = read_examples(found[0])
    return [Example(e.source, (without_separator(e.references[0]),)) for e in examples]


def without_separator(text: str) -> str:
    """Join the two sentences of a target by a space."""
    return " ".join(text.replace(SEPARATOR, " ").split())


def texts_of(example: Example) -> tuple[str, str]:
    """Return the source and the one reference of an example."""
    return example.source, example.references[0]


def of_length(examples: Sequence[Example], tokenizer: Any, longest: int) -> list[Example]:
    """Leave out examples of which either text has too many pieces, special tokens included.

    Args:
        examples: with one reference each
        tokenizer: with the whole vocabulary
        longest: the most ids of a text
    """
    sources, targets = (
        tokenizer([texts_of(example)[side] for example in examples])["input_ids"] for side in (0, 1)
    )
    rows = zip(examples, sources, targets, strict=True)
    return [example for example, a, b in rows if max(len(a), len(b)) <= longest]
