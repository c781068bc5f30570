"""SARI: how well a rewriting adds, keeps and deletes words, compared with rewritings by people.

There are several. Ours is that of the papers on sentence fusion and splitting (Malmi et al., 2019;
Rothe, Narayan and Severyn, 2020): F1 for all three operations, the mean over sentences. The others:

- Xu et al. (2016) judge deletions by their precision alone, here deletion="precision". Whoever
  deletes nothing is then never wrong: copying the sources of WikiSplit's test set scores 63.4, as
  much as the models of the paper, but 31.7 by F1.
- Their own script also takes 0 / 0 for 0, so that a perfect answer may score less than 1, and as
  the recall of keeping a mean of ratios instead of the ratio of the sums.
- The library evaluate judges deletions by precision, lower-cases and splits off punctuation.
- EASSE and STAR sum over all sentences of a corpus before they divide.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

LONGEST = 4
DELETIONS = ("f1", "precision")

Gram = tuple[str, ...]


@dataclass(frozen=True)
class Sari:
    """The three parts of the score of one sentence.

    Attributes:
        add, keep, delete: in [0, 1], each the mean over n
    """

    add: float
    keep: float
    delete: float

    @property
    def score(self) -> float:
        """The mean of the parts, in [0, 1]."""
        return (self.add + self.keep + self.delete) / 3


def sari(source: str, output: str, references: Sequence[str], deletion: str = "f1") -> Sari:
    """Compare what was added, kept and deleted with what should have been.

    Of the n-grams g, let s(g) and o(g) be 1 if g is in the source, in the output, else 0; r(g) the
    share of the references that it is in; a(g) = 1 if r(g) > 0, else 0.

              done           wanted
    add       o (1 - s)      a (1 - s)
    keep      o s            r s
    delete    (1 - o) s      (1 - r) s

    right = sum of min(done, wanted) over g
    P = right / sum of done,  R = right / sum of wanted,  0 / 0 = 1
    F = 2 P R / (P + R), and 0 if P = R = 0
    (Xu, Napoles, Pavlick, Chen and Callison-Burch, 2016, equations 4 to 6)

    Each part is the mean of F over n = 1 to 4. References of fewer than n words are left out of r.

    Args:
        source: what was rewritten; words are what white space separates.
        output: the rewriting
        references: at least one rewriting by people
        deletion: "f1", or "precision" to take P for F

    Raises:
        ValueError: if there is no reference, or deletion is another.
    """
    if not references or isinstance(references, str):
        raise ValueError(f"references must be a list of at least one text, got {references!r}")
    if deletion not in DELETIONS:
        raise ValueError(f"deletion must be one of {', '.join(DELETIONS)}, got {deletion!r}")
    parts = [
        _sari_of_length(n, source, output, references, deletion) for n in range(1, LONGEST + 1)
    ]
    return Sari(*(sum(values) / LONGEST for values in zip(*parts, strict=True)))


def _sari_of_length(
    n: int, source: str, output: str, references: Sequence[str], deletion: str
) -> tuple[float, float, float]:
    """Return add, keep and delete for one n; r is counted in whole references, to be exact."""
    s, o = ngrams(source, n), ngrams(output, n)
    counts = Counter(gram for reference in references for gram in ngrams(reference, n))
    whole = sum(len(reference.split()) >= n for reference in references) or 1
    add = _agreement(o - s, {gram: 1 for gram in counts if gram not in s}, 1)
    keep = _agreement(o & s, {gram: counts[gram] for gram in s}, whole)
    delete = _agreement(s - o, {gram: whole - counts[gram] for gram in s}, whole)
    return _f1(*add), _f1(*keep), _f1(*delete) if deletion == "f1" else delete[0]


def ngrams(text: str, n: int) -> set[Gram]:
    """List the runs of n words of a text, each once.

    Args:
        text: words, separated by white space
        n: at least 1
    """
    words = text.split()
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}


def _agreement(done: Set[Gram], wanted: Mapping[Gram, int], whole: int) -> tuple[float, float]:
    """Return P and R; what was done counts whole, what was wanted a part of it."""
    right = sum(wanted.get(gram, 0) for gram in done)
    return _ratio(right, whole * len(done)), _ratio(right, sum(wanted.values()))


def _ratio(part: int, all_of_it: int) -> float:
    return part / all_of_it if all_of_it else 1.0


def _f1(precision: float, recall: float) -> float:
    both = precision + recall
    return 2 * precision * recall / both if both else 0.0
