"""The command line: what it prints where, its exit codes, and how it puts errors."""

import io
import json
import subprocess
import sys
import time

import pytest

from minibert2bert import pipeline
from minibert2bert.cli import main

SENTENCE = "My sister is reading a long letter."


def run(capsys, *arguments):
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    out, err = capsys.readouterr()
    return code, out, err


def test_generate_prints_one_line_a_text_and_nothing_else(capsys):
    code, out, err = run(capsys, "generate", SENTENCE, "How old are you?")
    assert code == 0
    assert err == ""
    assert len(out.splitlines()) == 2
    assert "Wie alt" in out


def test_beams_lengths_scores_and_json(capsys):
    options = ("--num-beams", "3", "--max-new-tokens", "6", "--length-penalty", "0.5")
    code, out, _ = run(capsys, "generate", SENTENCE, *options, "--json", "--show-scores")
    row = json.loads(out)
    assert code == 0
    assert row["source"] == SENTENCE
    assert row["score"] < 0
    assert len(row["text"].split()) <= 6


def test_greedy_scores_are_those_of_one_beam_with_length_penalty_one(capsys):
    _, greedy, _ = run(capsys, "generate", SENTENCE, "--show-scores")
    _, beam, _ = run(capsys, "generate", SENTENCE, "--show-scores", "--num-beams", "4")
    assert float(beam.split("\t")[0]) >= float(greedy.split("\t")[0]) - 1e-6


def test_texts_from_a_file_and_from_stdin_come_in_order(capsys, tmp_path, monkeypatch):
    lines = [f"I have {number} apples." for number in range(40)]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _, from_file, _ = run(capsys, "generate", "--input", str(tmp_path / "in.txt"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    _, from_stdin, _ = run(capsys, "generate", "--input", "-")
    assert from_file == from_stdin
    assert len(from_file.splitlines()) == 40
    _, alone, _ = run(capsys, "generate", lines[7])
    assert from_file.splitlines()[7] == alone.rstrip("\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["generate"],
        ["generate", "text", "--input", "file"],
        ["generate", "text", "--num-beams", "0"],
        ["generate", "text", "--num-beams", "two"],
        ["generate", "text", "--temperature", "hot"],
        ["generate", "text", "--stream", "--num-beams", "2"],
        ["generate", "text", "--stream", "--num-return-sequences", "2"],
        ["generate", "text", "--stream", "--json"],
        ["generate", "text", "--stream", "--show-scores"],
        ["translate", "text"],
    ],
)
def test_a_wrong_command_exits_with_2_and_says_how_it_goes(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert "usage:" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "text", "--model", "nowhere"], "nowhere is neither a folder nor"),
        (["generate", ""], "a text must have 1 to 64 tokens, got 0"),
        (["generate", "word " * 100], "shorten or split it"),
        (["generate", "--input", "nowhere.txt"], "nowhere.txt"),
        (["generate", "text", "--max-new-tokens", "100"], "max_new_tokens=64 at most"),
        (["generate", "text", "--num-return-sequences", "2"], "must be at most num_beams"),
        (["generate", "text", "--do-sample", "--temperature", "0"], "a float above 0"),
    ],
)
def test_a_failure_is_one_line_without_a_traceback(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 1
    assert out == ""
    assert message in err
    assert err.startswith("minibert2bert: ")
    assert len(err.splitlines()) == 1


def test_a_file_that_is_not_utf8_is_named(capsys, tmp_path):
    (tmp_path / "in.txt").write_bytes(b"caf\xe9")
    code, _, err = run(capsys, "generate", "--input", str(tmp_path / "in.txt"))
    assert code == 1
    assert "must be UTF-8" in err


@pytest.mark.parametrize(
    "option", ["--length-penalty", "--temperature", "--top-k", "--top-p", "--seed"]
)
def test_an_option_without_effect_is_told_in_one_line_on_stderr(capsys, option):
    code, out, err = run(capsys, "generate", SENTENCE, option, "2")
    name = option.removeprefix("--").replace("-", "_")
    assert (code, len(out.splitlines()), len(err.splitlines())) == (0, 1, 1)
    assert err.startswith(f"minibert2bert: {name}=2")
    assert "has no effect without" in err


def test_an_option_without_effect_is_told_once_for_all_batches(capsys, tmp_path):
    (tmp_path / "in.txt").write_text(f"{SENTENCE}\n" * 33, encoding="utf-8")
    options = ("--input", str(tmp_path / "in.txt"), "--top-k", "3", "--max-new-tokens", "1")
    code, out, err = run(capsys, "generate", *options)
    assert (code, len(out.splitlines()), len(err.splitlines())) == (0, 33, 1)


def test_a_streamed_text_is_the_text(capsys):
    _, at_once, _ = run(capsys, "generate", SENTENCE, "How old are you?")
    code, streamed, err = run(capsys, "generate", SENTENCE, "How old are you?", "--stream")
    assert (code, streamed, err) == (0, at_once, "")


def test_words_are_streamed_as_they_come(monkeypatch):
    writes = []
    monkeypatch.setattr(sys.stdout, "write", writes.append)
    assert main(["generate", SENTENCE, "--stream"]) == 0
    assert "".join(writes) == "Meine Schwester liest einen langen Brief.\n"
    assert len([text for text in writes if text.strip()]) > 4


@pytest.mark.parametrize(
    ("option", "value"),
    [("repetition_penalty", 30.0), ("no_repeat_ngram_size", 1), ("max_new_tokens", 2)],
)
def test_an_option_of_the_command_is_that_of_generate(capsys, option, value):
    flag = "--" + option.replace("_", "-")
    _, out, _ = run(capsys, "generate", "I see a man and a man.", flag, str(value))
    translate = pipeline("text2text-generation")
    expected = translate("I see a man and a man.", **{option: value})[0]["generated_text"]
    assert out.rstrip("\n") == expected
    assert expected != translate("I see a man and a man.")[0]["generated_text"]


def test_several_answers_stand_on_lines_of_their_own(capsys):
    options = ("--num-beams", "3", "--num-return-sequences", "2")
    _, out, _ = run(capsys, "generate", SENTENCE, *options)
    assert len(set(out.splitlines())) == 2


def test_gradcheck_checks_every_component_and_the_whole_model(capsys):
    code, out, _ = run(capsys, "gradcheck")
    assert code == 0
    for name in ("linear", "conv1d", "layer_norm", "gelu_new", "relative_key_query", "softmax"):
        assert f"\n{name} " in out
    for name in ("dropout", "embedding", "table_product", "head_transform", "cross_entropy"):
        assert f"\n{name} " in out
    assert "decoder.bert.encoder.layer.1.crossattention.self.value.weight" in out
    assert out.splitlines()[-1].endswith("gradients checked, 0 wrong")


def test_gradcheck_fails_on_a_wrong_gradient(capsys, monkeypatch):
    from minibert2bert.inspection import component_cases

    def wrong(x):
        return x * x, lambda dy: 2.02 * x * dy

    monkeypatch.setitem(component_cases.ACTIVATIONS, "relu", wrong)
    code, out, _ = run(capsys, "gradcheck")
    assert code == 1
    assert "WRONG" in next(line for line in out.splitlines() if line.startswith("relu "))


def test_env_prints_versions_blas_threads_and_gpu(capsys):
    code, out, _ = run(capsys, "env")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names[-3:] == ["blas", "threads", "gpu"]
    assert {"python", "numpy", "sentencepiece", "safetensors"} < set(names)


def test_the_first_command_is_quick_also_when_the_reader_of_a_pipe_leaves():
    command = f"{sys.executable} -m minibert2bert generate '{SENTENCE}'"
    started = time.perf_counter()
    done = subprocess.run(
        ["sh", "-c", f"{command} | true"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    # Two seconds on an idle machine; tests may share theirs.
    assert time.perf_counter() - started < 10
