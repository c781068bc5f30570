"""A model's answers and loss against references: the function, its report, and the command."""

import json

import numpy as np
import pytest
from model_support import small_pair

from minibert2bert import AutoTokenizer, BertTokenizer, EncoderDecoderModel, pipeline
from minibert2bert.cli import main
from minibert2bert.demo import DEMO_FOLDER
from minibert2bert.evaluation.evaluate import evaluate, search_config
from minibert2bert.evaluation.metrics import Texts, compute
from minibert2bert.examples import Example
from minibert2bert.training.pairs import label_rows, source_rows

PAIRS = [
    ("How old are you?", "Wie alt bist du?", "Wie alt seid ihr?"),
    ("My sister is reading a long letter.", "Meine Schwester liest einen langen Brief."),
    ("Tom laughed.", "Tom lachte.", "Tom hat gelacht."),
    ("I have never been to that big city before.", "Ich war noch nie in dieser großen Stadt."),
    ("I know.", "Ich weiß."),
]
EXAMPLES = [Example(source, tuple(references)) for source, *references in PAIRS]
SOURCES = [example.source for example in EXAMPLES]
OWN = ("exact", "sari")


@pytest.fixture(scope="module")
def model():
    return EncoderDecoderModel.from_pretrained(DEMO_FOLDER)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(DEMO_FOLDER)


@pytest.fixture(scope="module")
def report(model, tokenizer):
    return evaluate(model, tokenizer, EXAMPLES, OWN, batch_size=2)


def test_each_source_is_answered_as_if_alone_and_in_order(report, model, tokenizer):
    translate = pipeline("text2text-generation", model, tokenizer)
    alone = [translate(source)[0]["generated_text"] for source in SOURCES]
    assert list(report.answers) == alone


def test_the_loss_is_the_mean_over_the_targets_of_the_first_references(report, model, tokenizer):
    losses = []
    for example in EXAMPLES:
        labels = [*tokenizer(example.references[0])["input_ids"], tokenizer.eos_token_id]
        ids = [tokenizer.bos_token_id, *labels[:-1]]
        source = np.array([tokenizer(example.source)["input_ids"]])
        logits = model(source, decoder_input_ids=np.array([ids])).logits[0].astype(np.float64)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses += [-row[label] for row, label in zip(log_probs, labels, strict=True)]
    # Sums of float32 in another order.
    assert report.loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_scores_are_those_of_the_answers_and_of_the_sources_for_comparison(report):
    references = [example.references for example in EXAMPLES]
    for name in OWN:
        assert report.scores[name] == compute(name, Texts(SOURCES, report.answers, references))
        assert report.copy_scores[name] == compute(name, Texts(SOURCES, SOURCES, references))
    assert report.scores["exact"].value > report.copy_scores["exact"].value == 0


def test_the_size_of_the_batches_changes_nothing(report, model, tokenizer):
    other = evaluate(model, tokenizer, EXAMPLES, OWN, batch_size=5)
    assert other.answers == report.answers
    assert other.recipe == report.recipe
    assert other.loss == pytest.approx(report.loss, rel=1e-5)


def test_the_recipe_is_complete(report):
    recipe = dict(report.recipe)
    search = recipe.pop("generation")
    assert recipe == {
        "tokenizer": "BertGenerationTokenizer", "vocabulary": 4000,
        "target_tokenizer": "BertGenerationTokenizer", "target_vocabulary": 4000,
        "dtype": "float32", "max_source_tokens": 64, "max_target_tokens": 64,
        "examples": 5, "references": 7, "cut_sources": 0, "cut_targets": 0, "lowercase": False,
    }  # fmt: skip
    expected = {"num_beams": 1, "length_penalty": 1.0, "length_penalty_style": "hf",
                "max_length": 64, "eos_token_id": 3}  # fmt: skip
    assert expected.items() <= search.items()


def test_options_of_the_search_are_used_and_recorded(model, tokenizer):
    options = {"num_beams": 3, "max_new_tokens": 4, "length_penalty": 0.5}
    single = {"num_return_sequences": 2, "return_dict_in_generate": True}
    found = evaluate(model, tokenizer, EXAMPLES, OWN, **options, **single)
    assert options.items() <= found.recipe["generation"].items()
    assert len(found.answers) == len(EXAMPLES)
    translate = pipeline("text2text-generation", model, tokenizer)
    beams = [answer["generated_text"] for answer in translate(SOURCES, **options)]
    assert list(found.answers) == beams


def test_the_report_is_a_line_of_json_and_a_table(report):
    line = report.to_json(model="demo")
    read = json.loads(line)
    assert "\n" not in line
    assert read["recipe"]["model"] == "demo"
    assert read["loss"] == round(report.loss, 4)
    assert read["scores"]["sari"]["copy"] == round(report.copy_scores["sari"].value, 4)
    assert read["scores"]["exact"]["signature"].startswith("refs:any")
    rows = [row.split()[:3] for row in str(report).splitlines()]
    assert rows[1] == ["exact", f"{report.scores['exact'].value:.2f}", "0.00"]
    assert rows[-1] == ["loss", f"{report.loss:.3f}", "nats"]


def test_case_is_ignored_if_asked(model, tokenizer, report):
    small = [Example(e.source, tuple(r.lower() for r in e.references)) for e in EXAMPLES]
    assert evaluate(model, tokenizer, small, OWN).scores["exact"].value == 0
    found = evaluate(model, tokenizer, small, OWN, lowercase=True)
    assert found.scores["exact"].value == report.scores["exact"].value
    assert found.recipe["lowercase"] is True


def test_what_is_too_long_to_read_is_cut_and_counted(model, tokenizer):
    long = Example("one two three " * 30, ("eins zwei drei " * 40,))
    found = evaluate(model, tokenizer, [long, *EXAMPLES], OWN, max_new_tokens=5)
    assert (found.recipe["cut_sources"], found.recipe["cut_targets"]) == (1, 1)
    assert np.isfinite(found.loss)


def test_a_source_is_cut_inside_of_its_template_and_a_target_at_its_end(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    bert = BertTokenizer.from_pretrained(tmp_path)
    assert source_rows(bert, ["a b a b", "a"], 4) == ([[2, 5, 6, 3], [2, 5, 3]], 1)
    assert label_rows(bert, ["a b a b", "a"], 4) == ([[5, 6, 5, 6], [5, 3]], 1)


def test_labels_get_the_end_token_that_their_template_lacks(tokenizer):
    rows, cut = label_rows(tokenizer, ["Ich weiß.", "Ich weiß.</s>"], 64)
    assert rows[0] == rows[1] == [*tokenizer("Ich weiß.")["input_ids"], tokenizer.eos_token_id]
    assert cut == 0


def test_the_answers_may_have_a_tokenizer_of_their_own(model, tokenizer, report):
    class Loud(type(tokenizer)):
        def decode(self, *arguments, **options):
            text = super().decode(*arguments, **options)
            return text.upper() if isinstance(text, str) else text

    found = evaluate(
        model, tokenizer, EXAMPLES, OWN, target_tokenizer=Loud.from_pretrained(DEMO_FOLDER)
    )
    assert found.answers == tuple(answer.upper() for answer in report.answers)
    assert found.recipe["target_tokenizer"] == "Loud"


def test_the_tokenizer_names_the_special_ids_that_nobody_else_has(tokenizer):
    nameless = small_pair(both={"eos_token_id": None}, eos_token_id=None)
    assert search_config(nameless, tokenizer, {}).eos_token_id == tokenizer.eos_token_id
    assert search_config(nameless, tokenizer, {"eos_token_id": 5}).eos_token_id == 5


def test_progress_is_told_after_each_batch(model, tokenizer):
    told = []
    evaluate(
        model, tokenizer, EXAMPLES, ["exact"], batch_size=2,
        on_progress=lambda *numbers: told.append(numbers), max_new_tokens=1,
    )  # fmt: skip
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_what_cannot_work_is_refused_before_the_model_runs(tokenizer):
    with pytest.raises(ValueError, match="got 'meteor'"):
        evaluate(None, tokenizer, EXAMPLES, ["meteor"])
    with pytest.raises(ValueError, match="at least one example, got none"):
        evaluate(None, tokenizer, [], ["exact"])


def test_a_source_without_tokens_is_named(tokenizer):
    with pytest.raises(ValueError, match="example 2 has no tokens, got the source ''; leave it"):
        source_rows(tokenizer, ["a", ""], 64)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.tsv"
    rows = ("\t".join((source, *references)) for source, *references in PAIRS)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def run(capsys, *arguments):
    code = main(["evaluate", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prints_one_line_of_json_and_a_table_for_people(capsys, data, report):
    code, out, err = run(capsys, "demo", "--data", data, "--target-column", 2, 3, "--metrics", *OWN)
    read = json.loads(out)
    assert code == 0
    assert out.count("\n") == 1
    assert read["scores"]["sari"]["model"] == round(report.scores["sari"].value, 4)
    assert (read["recipe"]["model"], read["recipe"]["data"]) == ("demo", "data.tsv")
    assert read["recipe"]["references"] == 7
    assert err == f"{report}\n"


def test_the_command_names_the_folder_without_its_path(capsys, data):
    _, out, _ = run(capsys, DEMO_FOLDER, "--data", data, "--metrics", "exact", "--limit", 1)
    recipe = json.loads(out)["recipe"]
    assert recipe["model"] == DEMO_FOLDER.name
    assert recipe["examples"] == 1
    assert str(DEMO_FOLDER.parent) not in out


def test_the_command_writes_the_answers_in_order_and_whole(capsys, data, report, tmp_path):
    output = tmp_path / "answers.txt"
    output.write_text("old")
    run(capsys, "demo", "--data", data, "--metrics", "exact", "--output", output)
    assert output.read_text(encoding="utf-8").splitlines() == list(report.answers)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.txt", "data.tsv"]


def test_the_command_passes_the_options_of_the_search(capsys, data):
    options = ("--num-beams", 2, "--length-penalty", 0.5, "--max-new-tokens", 3, "--lowercase")
    _, out, _ = run(capsys, "demo", "--data", data, "--metrics", "exact", *options)
    recipe = json.loads(out)["recipe"]
    said = {"num_beams": 2, "length_penalty": 0.5, "max_new_tokens": 3}
    assert said.items() <= recipe["generation"].items()
    assert recipe["lowercase"] is True


def test_bad_lines_end_the_command_unless_they_are_to_be_left_out(capsys, data):
    data.write_text(data.read_text(encoding="utf-8") + "alone\n", encoding="utf-8")
    arguments = ("demo", "--data", data, "--metrics", "exact")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert "line 6: expected columns separated by tabs" in err
    code, out, _ = run(capsys, *arguments, "--skip-bad-lines")
    assert code == 0
    assert json.loads(out)["recipe"]["skipped_lines"] == 1


def test_an_unknown_metric_is_a_wrong_command_that_names_those_there_are(capsys, data):
    with pytest.raises(SystemExit, match="2"):
        run(capsys, "demo", "--data", data, "--metrics", "meteor")
    assert "'exact', 'bleu'" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_refused_before_the_work(capsys, data, tmp_path):
    for output in (tmp_path, tmp_path / "no" / "answers.txt"):
        code, out, err = run(capsys, "no-model", "--data", data, "--metrics", "exact",
                             "--output", output)  # fmt: skip
        assert (code, out) == (1, "")
        assert "--output must be a file in a folder that is there" in err
