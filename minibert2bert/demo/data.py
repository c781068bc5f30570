"""The demo's sentence pairs: read, cleaned and split by English sentence."""

import gzip
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LONGEST_SOURCE = 14
TEST_WORDS = range(3, 13)
TEST_SOURCES, DEV_SOURCES = 1000, 500
# A soft hyphen and a zero-width space are invisible, but would be pieces of their own.
INVISIBLE = str.maketrans("", "", "\u00ad\u200b")


@dataclass(frozen=True)
class Split:
    """Sentence pairs; no English sentence is in two of the parts.

    Attributes:
        train: pairs of English and German
        dev: pairs of English and German
        test: an English sentence and all its German translations
    """

    train: list[tuple[str, str]]
    dev: list[tuple[str, str]]
    test: list[tuple[str, list[str]]]


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """Read English and German from a file of tab-separated lines, gzipped or not.

    Args:
        path: columns English, German, and others that are ignored

    Raises:
        ValueError: if a line has fewer than two columns; the message names the line.
    """
    opener = gzip.open if str(path).endswith(".gz") else open
    pairs = []
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            columns = line.rstrip("\n").split("\t")
            if len(columns) < 2:
                raise ValueError(
                    f"{path}, line {number}: expected English, a tab and German, got {line!r}"
                )
            pairs.append((clean(columns[0]), clean(columns[1])))
    return pairs


def clean(text: str) -> str:
    """Make every white space one space, and drop what cannot be seen."""
    return " ".join(text.translate(INVISIBLE).split())


def normalised(text: str) -> str:
    """Ignore case and punctuation, to find sentences that differ in nothing else."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())


def split_pairs(pairs: list[tuple[str, str]], seed: int = 0) -> Split:
    """Hold out English sentences, with all their translations, for development and test.

    Args:
        pairs: English and German
        seed: of the choice
    """
    translations: dict[str, list[str]] = {}
    for english, german in pairs:
        if len(english.split()) <= LONGEST_SOURCE:
            translations.setdefault(english, []).append(german)
    sources = sorted(translations)
    order = [sources[i] for i in np.random.default_rng(seed).permutation(len(sources))]
    test = [s for s in order if len(s.split()) in TEST_WORDS][:TEST_SOURCES]
    tested = {normalised(source) for source in test}
    rest = [source for source in order if normalised(source) not in tested]
    dev = rest[:DEV_SOURCES]
    held_out = tested | {normalised(source) for source in dev}
    return Split(
        train=[(s, t) for s in rest if normalised(s) not in held_out for t in translations[s]],
        dev=[(s, translations[s][0]) for s in dev],
        test=[(s, translations[s]) for s in test],
    )
