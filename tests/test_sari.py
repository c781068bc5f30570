"""SARI against its formula in loops, the examples of its authors, and cases done by hand."""

from fractions import Fraction

import pytest

from minibert2bert.evaluation.sari import Sari, ngrams, sari

SOURCE = "About 95 species are currently accepted ."
REFERENCES = [
    "About 95 species are currently known .",
    "About 95 species are now accepted .",
    "95 species are now accepted .",
]
OUTPUTS = [
    "About 95 you now get in .",
    "About 95 species are now agreed .",
    "About 95 species are currently agreed .",
]


def grams_in_loops(text, n):
    words, grams = text.split(), []
    for start in range(len(words) - n + 1):
        gram = words[start : start + n]
        if gram not in grams:
            grams.append(gram)
    return grams


def ratio(part, whole, empty):
    return Fraction(part) / whole if whole else Fraction(empty)


def f1(precision, recall):
    return 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0)


def operations_in_loops(n, source, output, references):
    """Yield (done, wanted) of every n-gram, for adding, keeping and deleting."""
    texts = [grams_in_loops(text, n) for text in (source, output, *references)]
    grams = [list(gram) for gram in {tuple(gram) for text in texts for gram in text}]
    long = [text for text in texts[2:] if text]
    add, keep, delete = [], [], []
    for gram in grams:
        s, o = (Fraction(gram in text) for text in texts[:2])
        r = Fraction(sum(gram in text for text in long), len(long) or 1)
        a = Fraction(r > 0)
        add.append((o * (1 - s), a * (1 - s)))
        keep.append((o * s, r * s))
        delete.append(((1 - o) * s, (1 - r) * s))
    return add, keep, delete


def precision_and_recall(operation, empty=1):
    right = sum(min(done, wanted) for done, wanted in operation)
    done, wanted = (sum(column) for column in zip(*operation, strict=True)) if operation else (0, 0)
    return ratio(right, done, empty), ratio(right, wanted, empty)


def sari_in_loops(source, output, references, deletion):
    parts = []
    for n in (1, 2, 3, 4):
        add, keep, delete = (
            precision_and_recall(operation)
            for operation in operations_in_loops(n, source, output, references)
        )
        parts.append((f1(*add), f1(*keep), f1(*delete) if deletion == "f1" else delete[0]))
    return Sari(*(float(sum(column) / 4) for column in zip(*parts, strict=True)))


def sari_of_the_authors_script(source, output, references):
    """Three rules differ: 0 / 0 = 0, precision of deletions, a mean in the recall of keeping."""
    total = Fraction(0)
    for n in (1, 2, 3, 4):
        add, keep, delete = operations_in_loops(n, source, output, references)
        recalls = [Fraction(min(done, wanted), wanted) for done, wanted in keep if wanted]
        recall = ratio(sum(recalls), len(recalls), 0)
        total += f1(*precision_and_recall(add, 0)) + precision_and_recall(delete, 0)[0]
        total += f1(precision_and_recall(keep, 0)[0], recall)
    return float(total / 12)


@pytest.mark.parametrize("deletion", ["f1", "precision"])
def test_sari_is_its_formula(rng, deletion):
    def sentence():
        return " ".join(rng.choice(list("abcd"), size=rng.integers(0, 7)))

    for _ in range(100):
        source, output = sentence(), sentence()
        references = [sentence() for _ in range(rng.integers(1, 4))]
        found = sari(source, output, references, deletion)
        expected = sari_in_loops(source, output, references, deletion)
        # Four numbers below 1 are added in float64.
        assert vars(found) == pytest.approx(vars(expected), abs=1e-14)


@pytest.mark.parametrize(
    ("output", "score"), list(zip(OUTPUTS, [0.2695360, 0.6170966, 0.5088682], strict=True))
)
def test_the_examples_score_what_the_tests_of_tensor2tensor_say(output, score):
    found = sari(SOURCE, output, REFERENCES, deletion="precision").score
    assert found == pytest.approx(score, abs=5e-8)


@pytest.mark.parametrize(
    ("output", "score"),
    list(zip(OUTPUTS, [0.2682782411698074, 0.5889995423074248, 0.5071608864657479], strict=True)),
)
def test_two_rules_make_the_difference_to_the_script_of_the_authors(output, score):
    assert sari_of_the_authors_script(SOURCE, output, REFERENCES) == pytest.approx(score, abs=1e-14)


def test_a_case_done_by_hand():
    found = sari("a b c", "a b", ["a c"])
    assert found.add == (1 + 0 + 1 + 1) / 4
    assert found.keep == (1 / 2 + 0 + 1 + 1) / 4
    assert found.delete == pytest.approx((0 + 2 / 3 + 1 + 1) / 4, abs=1e-15)
    assert found.score == pytest.approx((found.add + found.keep + found.delete) / 3, abs=1e-15)


def test_a_share_of_the_references_is_a_share_of_the_credit_and_short_ones_have_no_say():
    found = sari("1 2", "2", ["1 2", "1"])
    # One word: P = 1/2, R = 1/3. Two words: the only reference that long keeps them.
    assert found.keep == pytest.approx((2 / 5 + 0 + 1 + 1) / 4, abs=1e-15)


@pytest.mark.parametrize("text", ["a b c d e", "a x y", SOURCE, "z"])
def test_an_answer_equal_to_the_reference_is_perfect(text):
    assert sari("a b c d e", text, [text]) == Sari(1.0, 1.0, 1.0)


def test_copying_deletes_nothing_and_gets_credit_for_it_from_precision_alone():
    assert sari("a b c d e", "a b c d e", ["f"]).delete == 0
    assert sari("a b c d e", "a b c d e", ["f"], deletion="precision").delete == 1


def test_repeated_words_count_once_and_all_white_space_separates():
    assert sari("a b", "a\tb  c\u00a0c", ["a c c"]) == sari("a b", "a b c c", ["a c c"])
    assert ngrams("a a a", 2) == {("a", "a")}


@pytest.mark.parametrize(
    ("references", "deletion", "message"),
    [
        ([], "f1", "at least one text"),
        ("a text", "f1", "list of at least one text"),
        (["a"], "recall", "deletion must be one of f1, precision, got 'recall'"),
    ],
)
def test_what_cannot_be_judged_is_refused(references, deletion, message):
    with pytest.raises(ValueError, match=message):
        sari("a", "b", references, deletion)
