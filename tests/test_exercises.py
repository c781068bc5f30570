"""The exercises are the package's, and the checker names a learner's mistake."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exercise_answers import ANSWERS
from mine.arrays import difference
from mine.cases import cases
from mine.report import judge_exercise, lines_of, overview
from mine.session import begin

from tutorials.stubs import EXERCISES, FOLDER, is_untouched, stub, update

ROOT = Path(__file__).parent.parent
NAMES = list(EXERCISES)

MISTAKES = [
    ("linear", "drows.T @ rows", "rows.T @ drows", "dparams.weight", "it is transposed"),
    ("linear", "drows.T @ rows", "2 * drows.T @ rows", "dparams.weight", "a factor of two too lar"),
    ("linear", "drows.T @ rows", "dy[-1].T @ x[-1]", "dparams.weight", "only the last sentence"),
    ("linear", "drows.sum(axis=0)", "drows", "dparams.bias", "the sum over the batch is missing"),
    ("linear", "drows.sum(axis=0)", "dy.sum(axis=0)", "dparams.bias", "the sum over the batch"),
    (
        "linear",
        "drows.sum(axis=0)",
        "drows.mean(axis=0)",
        "dparams.bias",
        "20 times too small: a mean where a sum",
    ),
    ("linear", "dy @ weight", "-dy @ weight", "dx", "has the wrong sign"),
    ("linear", ' + params.get("bias", 0)', "", "y", "add params.bias"),
    ("activations", "dy * y * (1 - y)", "dy * (1 - y)", "dx", "multiply by y"),
    ("layer_norm", "dx_hat - ones - along", "dx_hat - ones", "dx", "add the part along x_hat"),
    ("layer_norm", "dx_hat - ones - along", "dx_hat - along", "dx", "add the part along ones"),
    ("layer_norm", "inv_std * (dx_hat", "1 * (dx_hat", "dx", "multiply by inv_std"),
    (
        "layer_norm",
        "dx_hat = dy * weight",
        "dx_hat, inv_std_ = dy, 0",
        "dx",
        "forgets the weight",
    ),
    (
        "layer_norm",
        "inv_std * (dx_hat - ones - along)",
        "weight * inv_std * (dy - dy.mean(axis=-1, keepdims=True)"
        " - x_hat * (dy * x_hat).mean(axis=-1, keepdims=True))",
        "dx",
        "multiplies by weight at the end",
    ),
    (
        "layer_norm",
        "np.square(centered).mean(axis=-1, keepdims=True)",
        "x.var(axis=-1, keepdims=True, ddof=1)",
        "y",
        "divides the variance by H - 1",
    ),
    (
        "layer_norm",
        "np.sqrt(variance + eps)",
        "(np.sqrt(variance) + eps)",
        "y",
        "adds eps to the standard deviation",
    ),
    (
        "embeddings",
        "np.add.at(dweight, ids, dy)",
        "dweight[ids] = dy",
        "dparams.weight",
        "they add up",
    ),
    ("embeddings", "dweight[padding_idx] = 0", "pass", "dparams.weight", "the padding's row"),
    (
        "softmax",
        "probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))",
        "0 * dprobs",
        "dscores",
        "is zero everywhere",
    ),
    (
        "softmax",
        "(dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))",
        "dprobs",
        "dscores",
        "take off probs times the row's sum",
    ),
    ("scaled_dot_product", "dscores @ key * scale", "dscores @ key", "dquery", "sqrt(D) = 2.646"),
    ("scaled_dot_product", "@ query * scale", "@ query / scale", "dkey", "is D = 7 times too"),
    ("scaled_dot_product", "return dquery, dkey", "return dkey, dquery", "dquery", "it is dkey"),
    (
        "attention",
        "dict(zip(sources, [dparams",
        'dict(zip(["key", "query", "value"], [dparams',
        "dparams.query.weight",
        "is dparams.key.weight",
    ),
    (
        "attention",
        "by_key + by_value",
        "by_key",
        "dkey_value_states",
        "is the part that comes by the keys",
    ),
    (
        "attention",
        "x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)",
        "x.reshape(len(x), heads, x.shape[1], -1)",
        "pieces",
        "mixes positions and heads",
    ),
    (
        "feed_forward",
        "dx + dresidual",
        "dx",
        "dhidden_states",
        "add the gradient of the residual path",
    ),
    ("lm_head", "dwords, dlogits @", "dwords.T, dlogits @", "dword_embeddings", "it is transposed"),
    ("loss", "losses.sum() / int(count)", "losses.mean()", "loss", "only those that count"),
    ("loss", "np.exp(log_probs) - target", "np.exp(log_probs)", "dlogits", "take 1 off at each"),
    (
        "loss",
        "(dloss / int(count))",
        "dloss",
        "dlogits",
        "is the number of labels that count = 15 times too large",
    ),
    (
        "loss",
        "np.where(shifted == IGNORE, pad_token_id, shifted)",
        "shifted",
        "decoder_input_ids",
        "keeps -100",
    ),
    (
        "optimizer",
        "mean / (1 - beta1**self.steps), square / (1 - beta2**self.steps)",
        "mean, square",
        "the parameters after three steps.weight",
        "lacks the division of the moments",
    ),
    (
        "optimizer",
        "if parameter.ndim > 1 else 0",
        "",
        "the parameters after three steps.bias",
        "is decayed",
    ),
    ("search", "np.where(writing, tokens, settings.pad_token_id)", "tokens", "ids", "it gets pad"),
    (
        "beam_search",
        "else steps",
        "else steps + 1",
        "settled",
        "1 of 6 are wrong, the first at [4]",
    ),
    ("beam_search", "shifted - np.log", "logits - np.log", "log_probs", "off by one number"),
]


class NoArray:
    def __array__(self, *_, **__):
        raise RuntimeError("not even this")


STRANGE = {
    "nothing": "return None",
    "no backward": "return y",
    "three values": "return y, backward, 1",
    "backward first": "return backward, y",
    "its result": "return y, backward(x @ weight.T)",
    "dots": "return ..., backward",
    "a list": "return y.tolist(), backward",
    "a text": "return 'y', backward",
    "ragged": "return [[1], [2, 3]], backward",
    "objects": "return np.array([None, {}], dtype=object), backward",
    "complex numbers": "return y * 1j, backward",
    "no numbers": "return y * np.nan, backward",
    "texts": "return y.astype(str), backward",
    "a scalar": "return 3, backward",
    "another function": "return np.sum, backward",
    "an exit": "sys.exit()",
    "a generator": "return (value for value in y), backward",
    "no end": "return linear(params, x)",
    "a division": "return 1 / 0",
    "no gradients": "return y, lambda dy: None",
    "one gradient": "return y, lambda dy: dy",
    "empty gradients": "return y, lambda dy: ({}, [])",
    "names as gradients": "return y, lambda dy: ({1: 2, None: 3}, 'x')",
    "a list of gradients": "return y, lambda dy: list(backward(dy)) + [1]",
    "no argument": "return y, lambda: None",
    "dicts in dicts": "return y, lambda dy: ({'weight': {'weight': y}, 'bias': ()}, x)",
}


def answer(name, tmp_path, old="", new=""):
    """A learner's file: the answer, with one thing changed, beside the rest of the package's."""
    text = f"from {EXERCISES[name].module} import *\nimport math, sys\nimport numpy as np\n"
    text += f"from minibert2bert.components.loss import IGNORE\n{ANSWERS[name]}"
    assert old in text
    (tmp_path / f"{name}.py").write_text(text.replace(old, new), encoding="utf-8")
    return judge_exercise(EXERCISES[name], tmp_path)


def told(judgement):
    return "\n".join(lines_of(judgement))


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_has_the_signatures_and_docstrings_of_the_package(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    if is_untouched(text):
        assert text == stub(EXERCISES[name]), "run python -m tutorials.stubs"


@pytest.mark.parametrize("name", NAMES)
def test_every_function_of_an_exercise_is_tried(name):
    assert {case.function for case in cases(name)} == set(EXERCISES[name].functions)


@pytest.mark.parametrize("name", NAMES)
def test_the_package_itself_is_right(name):
    judgement = judge_exercise(EXERCISES[name], EXERCISES[name].source().parent)
    assert judgement.state == "done", told(judgement)


@pytest.mark.parametrize("name", NAMES)
def test_an_unwritten_exercise_says_so_in_one_line(name, tmp_path):
    update(EXERCISES[name], tmp_path)
    judgement = judge_exercise(EXERCISES[name], tmp_path)
    assert judgement.state == "not begun"
    assert told(judgement) == f"{name}: {EXERCISES[name].functions[0]} is not written yet"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_in_other_words_is_right(name, tmp_path):
    judgement = answer(name, tmp_path)
    assert judgement.state == "done", told(judgement)


@pytest.mark.parametrize(("name", "old", "new", "tensor", "words"), MISTAKES)
def test_a_mistake_is_named_with_its_place(name, old, new, tensor, words, tmp_path):
    judgement = answer(name, tmp_path, old, new)
    wrong = [line for line in told(judgement).splitlines() if line.startswith("  WRONG")]
    assert any(line.startswith(f"  WRONG  {tensor} ") and words in line for line in wrong), wrong


@pytest.mark.parametrize("last", STRANGE.values(), ids=STRANGE)
def test_whatever_comes_back_is_answered_in_a_few_lines(last, tmp_path):
    judgement = answer("linear", tmp_path, "    return y, backward", f"    {last}")
    lines = lines_of(judgement)
    assert judgement.state == "wrong"
    assert len(lines) < 15
    assert all(len(line) < 320 for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("y = x @ weight.T", "y = x @@ weight.T", "invalid syntax, line 8"),
        ("import numpy", "import nunpy", "No module named 'nunpy', line 3: import nunpy as np"),
        ("x @ weight.T", "x @ weight", "ValueError: matmul"),
        (
            "def linear(params, x)",
            "def linear(x, params)",
            "takes (x, params), expected (params, x",
        ),
        ("x.reshape(-1, x", "x.reshape(0, x", "line 11: rows, drows"),
        ("    def backward", "    x -= 1\n\n    def backward", "x is changed in place"),
        ("dy @ weight", "dy.__imul__(2) @ weight / 2", "is changed in place"),
        ("dy @ weight", "dy @ weight * np.ones(1)", "x is float64 although the inputs are float32"),
        ('{"weight": drows.T', '{"wait": drows.T', "is missing; there is 'wait', 'bias'"),
        ("return dparams, dy", "return dy", "expected 2 values: dparams, dx"),
        ("y = x @", 'raise NotImplementedError("later")\n    y = x @', "linear: later"),
    ],
)
def test_a_mistake_in_the_code_is_told_with_its_line(old, new, words, tmp_path):
    assert words in told(answer("linear", tmp_path, old, new))


def test_a_forward_without_a_backward_is_begun_and_the_forward_is_praised(tmp_path):
    judgement = answer("linear", tmp_path, "rows, drows", "raise NotImplementedError\n        a, b")
    assert told(judgement).startswith("linear: y is right; not written yet, line 11")


def test_a_file_with_work_in_it_is_kept(tmp_path):
    exercise, path = EXERCISES["linear"], tmp_path / "linear.py"
    assert [update(exercise, tmp_path), update(exercise, tmp_path)] == ["written", "current"]
    path.write_text(path.read_text(encoding="utf-8") + "# a thought\n", encoding="utf-8")
    before = path.read_bytes()
    assert update(exercise, tmp_path) == "kept, for there is work in it"
    assert path.read_bytes() == before


def test_an_untouched_file_of_an_older_package_is_brought_up_to_date(tmp_path, monkeypatch):
    exercise, path = EXERCISES["linear"], tmp_path / "linear.py"
    now = stub(exercise)
    monkeypatch.setattr("tutorials.stubs.EXERCISES", {})
    older = exercise.source().read_text(encoding="utf-8").replace("Multiply each", "Weigh each")
    (tmp_path / "older.py").write_text(older, encoding="utf-8")
    monkeypatch.setattr(type(exercise), "source", lambda _: tmp_path / "older.py")
    update(exercise, tmp_path)
    assert "Weigh each" in path.read_text(encoding="utf-8")
    monkeypatch.undo()
    assert update(exercise, tmp_path) == "written"
    assert path.read_text(encoding="utf-8") == now


def test_the_overview_lists_what_is_done_and_what_is_left(tmp_path):
    right = answer("linear", tmp_path)
    update(EXERCISES["softmax"], tmp_path)
    left = judge_exercise(EXERCISES["softmax"], tmp_path)
    lines = overview([right, left])
    assert lines[0].split() == ["linear", "done", "tutorials/01_linear.py"]
    assert lines[1].split() == ["softmax", "not", "begun", "tutorials/05_attention.py"]
    assert "1 of 2 exercises are done." in lines


def mine(*arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_on_the_command_line_a_mistake_is_one_screen(tmp_path):
    answer("layer_norm", tmp_path, "dx_hat - ones - along", "dx_hat - ones")
    done = mine("--mine", "layer_norm", f"--mine-from={tmp_path}")
    assert done.returncode == 1
    assert "lacks a term: add the part along x_hat" in done.stdout
    assert len(done.stdout.splitlines()) < 12
    assert done.stderr == ""


def test_on_the_command_line_a_right_answer_translates_and_passes_the_tests(tmp_path):
    answer("layer_norm", tmp_path)
    done = mine("--mine", "layer_norm", f"--mine-from={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Wie viel kostet dieses Buch?" in done.stdout
    assert " passed" in done.stdout


def test_on_the_command_line_a_failing_test_is_told_without_a_traceback(tmp_path):
    lossy = "np.square(x).mean(axis=-1, keepdims=True) - np.square(x.mean(axis=-1, keepdims=True))"
    answer("layer_norm", tmp_path, "np.square(centered).mean(axis=-1, keepdims=True)", lossy)
    done = mine("tests/test_layer_norm.py", "--mine", "layer_norm", f"--mine-from={tmp_path}")
    assert done.returncode == 1
    assert "WRONG  a large mean does not spoil float32" in done.stdout
    assert "Traceback" not in done.stdout
    assert len(done.stdout.splitlines()) < 40


def test_an_unknown_name_is_answered_with_the_names(pytestconfig):
    with pytest.raises(pytest.UsageError, match="no exercise layernorm; there are linear, activ"):
        begin(pytestconfig, ["layernorm"])


def test_without_a_name_what_is_left_is_listed(pytestconfig, capsys):
    assert begin(pytestconfig, []) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(NAMES)]] == NAMES


def test_the_numbers_of_a_wrong_array_are_told():
    expected = np.arange(1.0, 7.0).reshape(2, 3)
    wrong = expected.copy()
    wrong[1, 2] = 9
    lines = difference(wrong, expected)
    assert lines[-1] == "1 of 6 wrong; most at [1, 2]: yours 9, expected 6, ratio 1.5"
