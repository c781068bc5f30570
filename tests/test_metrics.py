"""The metrics by hand where a hand can, and what their signatures say."""

import importlib
import math

import pytest

from minibert2bert.evaluation.metrics import METRICS, Score, Texts, check_metrics, compute

EXTRAS = {"bleu": "sacrebleu", "chrf": "sacrebleu", "rougeL": "rouge_score.rouge_scorer"}


@pytest.fixture(autouse=True)
def extras():
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")


def value(name, answer, *references, source="source", lowercase=False):
    return compute(name, Texts([source], [answer], [references], lowercase)).value


@pytest.mark.parametrize("name", [name for name in METRICS if name != "sari"])
def test_any_reference_is_a_perfect_answer(name):
    text = "The black cat sat down here."
    assert value(name, text, "Something else entirely.", text) == pytest.approx(100, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_case_counts_unless_told_otherwise(name):
    upper, lower = "THE BLACK CAT SAT DOWN", "the black cat sat down"
    assert value(name, upper, lower, lowercase=True) == pytest.approx(100, abs=1e-9)
    assert (value(name, upper, lower) < 99) == (not name.startswith("rouge"))
    signature = compute(name, Texts([upper], [upper], [[upper]], lowercase=True)).signature
    assert "case:lc" in signature


def test_exact_match_takes_any_reference_and_any_white_space():
    texts = Texts("wxyz", ["a  b", "c", "d", "e"], [["x", "a b"], ["x"], ["d"], ["E"]])
    assert compute("exact", texts) == Score(50.0, "refs:any|case:mixed|space:one")


def test_bleu_is_the_geometric_mean_of_precisions_over_the_corpus():
    texts = Texts("xy", ["a b c d e", "f g h i"], [["a b c d x"], ["f g h i"]])
    # Of 9, 7, 5 and 3 n-grams, all but one at the end are in the references.
    expected = 100 * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** (1 / 4)
    assert compute("bleu", texts).value == pytest.approx(expected, abs=1e-9)


def test_bleu_punishes_answers_that_are_shorter_than_all_references():
    expected = 100 * math.exp(1 - 6 / 4)
    assert value("bleu", "a b c d", "a b c d e f") == pytest.approx(expected, abs=1e-9)
    assert value("bleu", "a b c d", "a b c d e f", "a b x y") > 99


def test_chrf_weighs_recall_twice():
    # One reference of two letters, an answer of one: P = 1, R = 1/2, and no longer n-grams.
    expected = 100 * (1 + 2**2) * 1 * 0.5 / (2**2 * 1 + 0.5)
    assert value("chrf", "a", "a b") == pytest.approx(expected, abs=1e-9)


def test_rouge_counts_words_pairs_and_the_longest_common_subsequence():
    answer, reference = "the cat sat on mats", "the dog sat mat today"
    assert value("rouge1", answer, reference) == pytest.approx(100 * 3 / 5, abs=1e-9)
    assert value("rouge2", answer, reference) == 0
    assert value("rougeL", "mats sat the cat", "the cat sat") == pytest.approx(
        100 * 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3), abs=1e-9
    )


def test_rouge_is_the_mean_of_what_fits_best():
    texts = Texts("xy", ["a b", "c d"], [["z", "a b"], ["c z"]])
    assert compute("rouge1", texts).value == pytest.approx((100 + 50) / 2, abs=1e-9)


def test_sari_is_the_mean_over_texts():
    one = value("sari", "a b c", "a c", "d", source="a b")
    two = value("sari", "b", "a b", source="a b")
    texts = Texts(["a b", "a b"], ["a b c", "b"], [["a c", "d"], ["a b"]])
    assert compute("sari", texts).value == pytest.approx((one + two) / 2, abs=1e-12)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_texts_may_differ_in_their_number_of_references(name):
    answers = ["the cat sat on it", "a dog ran there"]
    uneven = compute(name, Texts("xy", answers, [["a cat sat", "the cat sat"], ["dogs ran there"]]))
    repeated = compute(
        name, Texts("xy", answers, [["a cat sat", "the cat sat"], ["dogs ran there"] * 2])
    )
    assert uneven.value == pytest.approx(repeated.value, abs=1e-12)
    assert "nrefs:var" in uneven.signature
    assert "nrefs:2" in repeated.signature


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bleu", ["tok:13a", "smooth:exp", "case:mixed", "version:"]),
        ("chrf", ["nc:6", "nw:0", "case:mixed", "version:"]),
        ("rouge2", ["f1", "refs:best", "stemmer:yes", "rouge-score:"]),
        ("sari", ["n:1-4", "del:f1", "0/0:1", "case:mixed", "tok:space"]),
    ],
)
def test_a_signature_says_how_to_repeat_the_number(name, parts):
    said = compute(name, Texts(["a"], ["b"], [["c"]])).signature.split("|")
    assert all(any(part.startswith(start) for part in said) for start in parts)


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_extra_names_the_command(monkeypatch, name):
    def missing(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=rf"{name}.*pip install minibert2bert\[metrics\]"):
        check_metrics(["exact", "sari", name])
    check_metrics(["exact", "sari"])


def test_an_unknown_metric_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"one of exact, bleu, chrf.*got 'meteor'"):
        check_metrics(["bleu", "meteor"])


@pytest.mark.parametrize(
    ("sources", "answers", "references", "message"),
    [
        (["a"], ["b", "c"], [["d"]], "got 1 sources, 2 answers and 1 lists"),
        ([], [], [], "at least one"),
        (["a"], ["b"], [[]], "a list of at least one reference"),
        (["a"], ["b"], ["c"], "a list of at least one reference"),
    ],
)
def test_texts_that_do_not_fit_together_are_refused(sources, answers, references, message):
    with pytest.raises(ValueError, match=message):
        Texts(sources, answers, references)
