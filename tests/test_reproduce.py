"""The command reproduce on a tiny corpus and a tiny BERT, and what it is made of."""

import gzip
import json
import sys

import numpy as np
import pytest
from tiny_bert import CONFIG, PIECES, WORDS

from minibert2bert import AutoTokenizer, BertModel, BertTokenizer
from minibert2bert.cli import main
from minibert2bert.reproduce.report import PAPER, draw, shown_steps, table
from minibert2bert.reproduce.variants import (
    BERT_VARIANTS,
    as_words,
    curves,
    score,
    settings_of,
)
from minibert2bert.reproduce.wikisplit import Recipe, of_length, read_pairs

for extra in ("tokenizers", "sacrebleu"):
    pytest.importorskip(extra)

FAST = ("--steps", "3", "--batch-size", "4", "--held-out", "3", "--test", "4")


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    return BertTokenizer(tmp_path / "vocab.txt")


@pytest.fixture
def bert(tmp_path, tokenizer):
    BertModel(CONFIG, np.random.default_rng(0)).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def rows(count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        first, second = rng.choice(WORDS[:5], (2, 2))
        yield (
            f"{' '.join(first)} , and {' '.join(second)} .\t"
            f"{' '.join(first)} . <::::> {' '.join(second)} .\n"
        )


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "tune.tsv").write_text("".join(rows(12, 0)), encoding="utf-8")
    (folder / "validation.tsv").write_text("".join(rows(8, 1)), encoding="utf-8")
    with gzip.open(folder / "test.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("".join(rows(6, 2)))
    return folder


@pytest.fixture
def reproduce(tmp_path, bert, data, capsys):
    """Run the command into a folder out; give code, out, err."""
    places = ("--bert", str(bert), "--data", str(data), "--output", str(tmp_path / "out"))

    def call(*arguments):
        code = main(["reproduce", "wikisplit", *places, *FAST, *arguments])
        return code, *capsys.readouterr()

    return call


def result(variant="bert2bert", **changes):
    return {
        "variant": variant,
        "seed": 0,
        "parameters": 2_000_000,
        "initialised": 1_500_000,
        "held_out": [[10 * n, 5.0 - 0.5 * n] for n in range(1, 6)],
        "scores": {"exact": 1.25, "bleu": 70.0, "sari": 60.0},
        **changes,
    }


COPIED = {"exact": 0.0, "bleu": 73.5, "sari": 34.0}


def test_targets_lose_the_separator(data):
    (data / "tune.tsv").write_text("a b .\ta . <::::> b .\n", encoding="utf-8")
    (example,) = read_pairs(data, "tune")
    assert (example.source, example.references) == ("a b .", ("a . b .",))


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(ValueError, match=r"has no tune\.tsv.*github\.com.*wiki-split"):
        read_pairs(tmp_path, "tune")


def test_pairs_with_a_long_text_on_either_side_are_left_out(data, tokenizer):
    lines = ["red cat\tred", "red\tred cat", "red cat runs\tred", "red\tred cat runs"]
    (data / "tune.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert len(of_length(read_pairs(data, "tune"), tokenizer, 4)) == 2


@pytest.mark.parametrize(
    ("variant", "encoder", "decoder", "tie"),
    [
        ("rnd2rnd", "random:o/bert", "random:o/bert", False),
        ("bert2rnd", "o/bert", "random:o/bert", False),
        ("rnd2bert", "random:o/bert", "o/bert", False),
        ("bert2bert", "o/bert", "o/bert", False),
        ("bertShare", "o/bert", "o/bert", True),
    ],
)
def test_variants_differ_in_nothing_but_their_start(variant, encoder, decoder, tie):
    recipe = Recipe("b", "d", "o")
    settings = settings_of(recipe, variant, 3).to_dict()
    start = {"encoder": encoder, "decoder": decoder, "tie": tie, "output": f"o/{variant}-3"}
    assert settings == settings_of(recipe, "rnd2rnd", 3).to_dict() | start
    assert settings["seed"] == 3


def test_a_variant_of_another_family_is_refused():
    with pytest.raises(ValueError, match=r"one of rnd2rnd.*got 'bert2gpt'"):
        settings_of(Recipe("b", "d", "o"), "bert2gpt", 0)


def test_texts_are_compared_as_words_and_marks(tokenizer):
    assert as_words(tokenizer, ["Red  house, zut.", "RED"]) == ["red house , zut .", "red"]


def test_answers_are_scored_and_without_answers_the_sources(tmp_path, bert):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.tsv").write_text(
        "red cat , runs red house .\tred cat . runs red house .\n", encoding="utf-8"
    )
    recipe = Recipe(str(bert), "d", str(tmp_path))
    right = score(recipe, ["Red cat. Runs red house."])
    assert (right["exact"], right["sari"]) == (100, 100)
    assert score(recipe)["exact"] == 0 < score(recipe)["bleu"] < right["bleu"]


def test_the_training_loss_is_thinned_to_means(tmp_path):
    lines = [json.dumps({"step": n, "loss": float(n)}) for n in range(1, 8)]
    lines.append(json.dumps({"step": 7, "eval_loss": 2.5}))
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
    found = curves(tmp_path, points=3)
    assert found == {"held_out": [[7, 2.5]], "training": [[3, 2.0], [6, 5.0], [7, 7.0]]}


def test_the_table_has_a_row_for_each_variant_and_one_for_copying():
    lines = table([result(), result("rnd2rnd", initialised=0)], COPIED).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| variant | seed | parameters | initialised | loss at 20 | loss at")
    start, end = (
        "| bert2bert | 0 | 2.0 M | 75% | 4.00",
        "| 1.2 | 70.0 | 60.0 | 15.6 | 77.0 | 63.2 |",
    )
    assert lines[2] == f"{start} | 3.00 | 2.50 {end}"
    assert "| 0% |" in lines[3]
    assert lines[4].split("|")[-7:-4] == [" 0.0 ", " 73.5 ", " 34.0 "]


def test_the_paper_has_figures_for_every_variant():
    assert PAPER.keys() == set(BERT_VARIANTS)


@pytest.mark.parametrize(
    ("count", "shown"), [(1, [10]), (3, [20, 30]), (5, [20, 40, 50]), (6, [20, 40, 50, 60])]
)
def test_two_and_four_fifths_and_the_end_have_columns(count, shown):
    assert shown_steps([10 * n for n in range(1, count + 1)]) == shown


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    draw([result(name) for name in BERT_VARIANTS], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_trains_measures_and_writes(tmp_path, reproduce):
    code, out, _ = reproduce("--variants", "bert2bert", "bertShare", "rnd2rnd")
    assert code == 0
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:]] == [
        "bert2bert",
        "bertShare",
        "rnd2rnd",
        "copying the source",
    ]
    found = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    bert2bert, shared, random = found["variants"]
    assert bert2bert["parameters"] == random["parameters"] > shared["parameters"]
    assert bert2bert["initialised"] > shared["initialised"] > random["initialised"] == 0
    assert [step for step, _ in random["held_out"]] == [1, 2, 3]


def test_without_matplotlib_there_is_a_table_all_the_same(tmp_path, reproduce, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = reproduce("--variants", "rnd2rnd")
    assert (code, out.count("rnd2rnd")) == (0, 1)
    assert "pip install minibert2bert[tutorials]" in err
    assert not (tmp_path / "out" / "curves.png").exists()


def test_halves_that_are_the_same_start_with_the_same_loss(tmp_path, reproduce):
    reproduce("--variants", "bert2bert", "bertShare")
    found = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    # The head's transform and its bias are drawn from the same seed.
    first, second = (run["training"][0] for run in found["variants"])
    assert first == second


def test_what_is_done_is_not_done_again(tmp_path, reproduce):
    reproduce("--variants", "rnd2rnd")
    log = tmp_path / "out" / "rnd2rnd-0" / "log.jsonl"
    log.unlink()
    _, out, err = reproduce("--variants", "rnd2rnd", "bert2rnd")
    assert not log.exists()
    assert "step" not in err.split("bert2rnd")[0]
    assert out.count("| 0 |") == 2


def test_another_recipe_in_the_same_folder_is_refused(reproduce):
    reproduce("--variants", "rnd2rnd")
    code, _, err = reproduce("--variants", "rnd2rnd", "--cross-attention-init", "random")
    assert code == 1
    assert "cross_attention_init was 'self' and is 'random'" in err


def test_too_few_pairs_are_an_error(reproduce):
    code, _, err = reproduce("--test", "7")
    assert code == 1
    assert "to test on 7" in err


def test_the_cut_vocabulary_is_that_of_the_training_pairs(tmp_path, reproduce):
    reproduce("--variants", "rnd2rnd")
    cut = AutoTokenizer.from_pretrained(tmp_path / "out" / "bert")
    assert BertModel.from_pretrained(tmp_path / "out" / "bert").config.vocab_size == len(cut)
    assert "zebra" not in cut.get_vocab()
    lines = (tmp_path / "out" / "data" / "train.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 12 + 8 - 3
