"""Texts compared with references: numbers in percent, each with what was computed exactly."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

from minibert2bert.evaluation.sari import LONGEST, sari


@dataclass(frozen=True)
class Texts:
    """What was asked, what was answered, and what would have been right.

    Attributes:
        sources: what was read
        answers: one a source
        references: one or more a source
        lowercase: whether upper and lower case are the same
    """

    sources: Sequence[str]
    answers: Sequence[str]
    references: Sequence[Sequence[str]]
    lowercase: bool = False

    def __post_init__(self) -> None:
        lengths = len(self.sources), len(self.answers), len(self.references)
        if len(set(lengths)) > 1 or not self.sources:
            raise ValueError(
                "there must be as many answers and lists of references as sources, at least one, "
                f"got {lengths[0]} sources, {lengths[1]} answers and {lengths[2]} lists"
            )
        if not all(self.references) or any(isinstance(refs, str) for refs in self.references):
            raise ValueError("each source must have a list of at least one reference")


@dataclass(frozen=True)
class Score:
    """A number, and what it takes to compute the same again.

    Attributes:
        value: in percent
        signature: settings and versions
    """

    value: float
    signature: str


def compute(name: str, texts: Texts) -> Score:
    """Compute a metric by its name.

    Args:
        name: one of METRICS
        texts: what to compare

    Raises:
        ValueError: if there is no such metric.
        ModuleNotFoundError: if the extra is missing.
    """
    check_metrics([name])
    return METRICS[name](texts)


def check_metrics(names: Sequence[str]) -> None:
    """Find out before the work begins whether the metrics can be computed.

    Args:
        names: of METRICS

    Raises:
        ValueError: if there is no such metric.
        ModuleNotFoundError: if the extra is missing.
    """
    for name in names:
        if name not in METRICS:
            raise ValueError(f"a metric must be one of {', '.join(METRICS)}, got {name!r}")
        if name in NEEDS:
            extra(NEEDS[name])


def extra(module: str) -> Any:
    """Import what only the metrics need.

    Raises:
        ModuleNotFoundError: if it is not installed; the message names the command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the metrics {', '.join(name for name in NEEDS if NEEDS[name] == module)} need "
            f"{error.name}: pip install minibert2bert[metrics]"
        ) from error


def exact_match(texts: Texts) -> Score:
    """Count the answers that equal a reference; white space is one space."""
    equal = sum(
        normalised(answer, texts) in {normalised(reference, texts) for reference in references}
        for answer, references in zip(texts.answers, texts.references, strict=True)
    )
    signature = f"refs:any|case:{case(texts)}|space:one"
    return Score(100 * equal / len(texts.answers), signature)


def bleu(texts: Texts) -> Score:
    """Compute BLEU over the corpus (Papineni et al., 2002, section 2.3), by sacrebleu."""
    return of_sacrebleu(extra("sacrebleu").BLEU(lowercase=texts.lowercase), texts)


def chrf(texts: Texts) -> Score:
    """Compute chrF2 over the corpus (Popovic, 2015, equation 1), by sacrebleu."""
    return of_sacrebleu(extra("sacrebleu").CHRF(lowercase=texts.lowercase), texts)


def of_sacrebleu(metric: Any, texts: Texts) -> Score:
    """Have sacrebleu compute a metric over the corpus; texts may differ in number of references.

    Args:
        metric: of sacrebleu
        texts: what to compare
    """
    columns = [list(column) for column in zip_longest(*texts.references)]
    score = metric.corpus_score(list(texts.answers), columns).score
    return Score(score, str(metric.get_signature()))


def rouge(name: str, texts: Texts) -> Score:
    """Compute ROUGE-1, -2 or -L (Lin, 2004, sections 2 and 3), by rouge-score.

    It is the mean over texts of the F1 with the reference that fits best. It sees the letters a to
    z and digits only, and cuts the endings of English words.

    Args:
        name: "rouge1", "rouge2" or "rougeL"
        texts: what to compare; case never counts.
    """
    scorer = extra("rouge_score.rouge_scorer").RougeScorer([name], use_stemmer=True)
    pairs = zip(texts.references, texts.answers, strict=True)
    values = [scorer.score_multi(refs, answer)[name].fmeasure for refs, answer in pairs]
    signature = f"f1|refs:best|case:lc|stemmer:yes|mean:texts|rouge-score:{version('rouge-score')}"
    return Score(100 * sum(values) / len(values), signature)


def mean_sari(texts: Texts) -> Score:
    """Take the mean of SARI over texts; see sari.py."""
    rows = zip(texts.sources, texts.answers, texts.references, strict=True)
    values = [
        sari(
            normalised(source, texts),
            normalised(answer, texts),
            [normalised(reference, texts) for reference in references],
        ).score
        for source, answer, references in rows
    ]
    signature = f"n:1-{LONGEST}|del:f1|0/0:1|case:{case(texts)}|tok:space|mean:texts"
    return Score(100 * sum(values) / len(values), signature)


def normalised(text: str, texts: Texts) -> str:
    """Make all white space one space, and ignore case if that was asked for."""
    return " ".join((text.lower() if texts.lowercase else text).split())


def case(texts: Texts) -> str:
    """Say in a signature whether case counts."""
    return "lc" if texts.lowercase else "mixed"


METRICS: dict[str, Callable[[Texts], Score]] = {
    "exact": exact_match,
    "bleu": bleu,
    "chrf": chrf,
    "rouge1": partial(rouge, "rouge1"),
    "rouge2": partial(rouge, "rouge2"),
    "rougeL": partial(rouge, "rougeL"),
    "sari": mean_sari,
}
NEEDS = {
    **dict.fromkeys(("bleu", "chrf"), "sacrebleu"),
    **dict.fromkeys(("rouge1", "rouge2", "rougeL"), "rouge_score.rouge_scorer"),
}
"""The module behind a metric, where it is not this package's."""
