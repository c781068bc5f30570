"""The command finetune, from files of texts to a folder that generate and evaluate take."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from minibert2bert import AutoTokenizer, EncoderDecoderModel
from minibert2bert.cli import main
from minibert2bert.commands.plot import smoothed
from minibert2bert.examples import Example
from minibert2bert.training.pairs import tokenize_examples

WORDS = ["red", "green", "blue", "big", "small", "cat", "dog", "house", "runs", "sleeps"]
SIZES = {
    "encoder": "random",
    "decoder": "random",
    "new_sentencepiece": 30,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_source_length": 40,
    "max_target_length": 40,
    "learning_rate": 0.01,
    "train_batch_size": 16,
    "max_steps": 6,
}


def texts(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        words = rng.choice(WORDS, rng.integers(2, 6)).tolist()
        yield " ".join(words), " ".join(reversed(words))


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run finetune in a folder with train.tsv, eval.jsonl and c.json; give code, err."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{source}\t{target}\n" for source, target in texts(64))
    (tmp_path / "train.tsv").write_text(rows, encoding="utf-8")
    with gzip.open("eval.jsonl.gz", "wt", encoding="utf-8") as file:
        for source, target in texts(8, seed=1):
            file.write(json.dumps({"long": source, "short": [target]}) + "\n")
    (tmp_path / "c.json").write_text(json.dumps(SIZES), encoding="utf-8")

    def call(*arguments):
        try:
            code = main(["finetune", "--config", "c.json", "--output", "out", *arguments])
        except SystemExit as exit_:
            code = exit_.code
        return code, capsys.readouterr().err

    return call


def log(name="out"):
    with open(f"{name}/log.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def losses(name="out"):
    return [row["loss"] for row in log(name) if "loss" in row]


def test_the_folder_has_a_model_that_generates_and_evaluates(run, capsys):
    code, err = run("--train", "train.tsv")
    assert code == 0
    assert "train.tsv: 64 pairs; cut to their limits: 0 sources, 0 targets" in err
    assert main(["generate", "--model", "out", "red cat"]) == 0
    assert (
        main(["evaluate", "out", "--data", "train.tsv", "--limit", "4", "--metrics", "exact"]) == 0
    )
    recipe = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert recipe["recipe"]["examples"] == 4
    assert json.loads(Path("out/finetune.json").read_text("utf-8"))["learning_rate"] == 0.01


def test_training_lowers_the_loss_and_options_win_over_the_file(run):
    run("--train", "train.tsv", "--max-steps", "40", "--no-dropout")
    assert len(losses()) == 40
    assert losses()[-1] < 0.8 * losses()[0]


def test_held_out_examples_may_be_of_another_format_if_the_columns_fit(run):
    with open("train.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"long": s, "short": t}) + "\n" for s, t in texts(20))
    columns = ("--source-column", "long", "--target-column", "short")
    code, err = run("--train", "train.jsonl", "--eval", "eval.jsonl.gz", *columns)
    assert code == 0
    assert "held-out loss" in err
    assert {"eval_loss", "source_dependence"} <= log()[-1].keys() | log()[-2].keys()


def test_a_pretrained_half_keeps_its_weights_and_tokenizer(run):
    run("--train", "train.tsv")
    parameters = EncoderDecoderModel.from_pretrained("out").parameters()
    EncoderDecoderModel.from_pretrained("out").encoder.save_pretrained("half")
    AutoTokenizer.from_pretrained("out").save_pretrained("half")
    options = {**SIZES, "encoder": "half", "decoder": "random:half", "max_steps": 1}
    options |= {"new_sentencepiece": None, "learning_rate": 1e-9, "output": "second"}
    with open("c.json", "w", encoding="utf-8") as file:
        json.dump(options, file)
    code, _ = run("--train", "train.tsv", "--output", "second")
    assert code == 0
    found = EncoderDecoderModel.from_pretrained("second").parameters()
    name = "encoder.encoder.layer.0.attention.self.query.weight"
    np.testing.assert_allclose(found[name], parameters[name], atol=1e-6)
    head = "decoder.bert.encoder.layer.0.attention.self.query.weight"
    assert np.abs(found[head] - parameters[head]).max() > 1e-3


def test_resuming_goes_on_where_the_run_stopped(run):
    run("--train", "train.tsv", "--output", "whole", "--save-every", "3")
    run("--train", "train.tsv", "--save-every", "3")
    code, err = run("--train", "train.tsv", "--save-every", "3")
    assert code == 1
    assert "checkpoint-6" in err
    shutil.rmtree("out/checkpoint-6")
    assert run("--train", "train.tsv", "--save-every", "3", "--resume")[0] == 0
    assert losses() == losses("whole")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "missing.tsv"], "missing.tsv"),
        (["--train", "train.tsv", "--max-target-length", "0"], "max_target_length must be"),
        (["--train", "train.tsv", "--encoder", "nowhere/at-all"], "new_sentencepiece"),
        (["--train", "train.tsv", "--new-sentencepiece", "9000"], "no vocabulary of 9000 pieces"),
        (["--train", "one.tsv"], "line 2"),
        (["--train", "latin.tsv"], "UTF-8"),
        (["--train", "empty.tsv"], "empty.tsv"),
        ([], "finetune needs train"),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_anything_is_written(
    run, tmp_path, arguments, message
):
    (tmp_path / "one.tsv").write_text("a\tb\nalone\n", encoding="utf-8")
    (tmp_path / "latin.tsv").write_bytes("grün\tgreen\n".encode("latin-1"))
    (tmp_path / "empty.tsv").write_text("", encoding="utf-8")
    code, err = run(*arguments)
    assert code == 1
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_long_texts_are_cut_and_counted(run):
    _, err = run("--train", "train.tsv", "--max-source-length", "3", "--max-target-length", "2")
    counts = err.split("cut to their limits: ")[1].split()
    assert int(counts[0]) > 0
    assert int(counts[2]) > 0


def test_every_reference_is_a_pair_of_its_own():
    tokenizer = AutoTokenizer.from_pretrained("minibert2bert/demo")
    examples = [Example("A cat.", ("Eine Katze.", "Ein Kater."))]
    found = tokenize_examples(examples, tokenizer, tokenizer, 20, 20)
    (source, first), (again, second) = found.pairs
    assert source == again
    assert tokenizer.decode(first, skip_special_tokens=True) == "Eine Katze."
    assert tokenizer.decode(second, skip_special_tokens=True) == "Ein Kater."
    assert first[-1] == second[-1] == tokenizer.eos_token_id


def test_a_smoothed_curve_starts_at_its_first_value_and_follows_the_mean():
    assert smoothed([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])
    assert smoothed([1.0, 0.0])[1] == pytest.approx(0.98 / 1.98)


def test_curves_are_drawn_into_one_picture(run, tmp_path):
    pytest.importorskip("matplotlib")
    run("--train", "train.tsv", "--eval", "train.tsv")
    assert main(["plot", "out", "out/log.jsonl", "--output", str(tmp_path / "c.png")]) == 0
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


def test_a_log_without_a_step_is_no_log(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    assert main(["plot", str(tmp_path)]) == 1
    assert "has no step with a loss" in capsys.readouterr().err
