"""Training in two processes by MPI: the same curve as in one, and errors that end both."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec") or str(Path(sys.executable).parent / "mpiexec")
ROWS = "".join(f"{a} {b} {c}\t{c} {b} {a}\n" for a in "xyz" for b in "pqrs" for c in "uvwst")
SETTINGS = {
    "encoder": "random",
    "decoder": "random",
    "train": "train.tsv",
    "new_sentencepiece": 24,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_source_length": 12,
    "max_target_length": 12,
    "learning_rate": 0.01,
    "train_batch_size": 32,
    "max_steps": 8,
    "dropout": False,
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.tsv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "c.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    return tmp_path


def launch(folder, count, *command):
    arguments = [MPIEXEC, "-n", str(count), sys.executable, "-m", "mpi4py", *command]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120)


def finetune(folder, count, output, *options):
    command = ("-m", "minibert2bert", "finetune", "--config", "c.json", "--output", output)
    return launch(folder, count, *command, *options)


def curve(folder, output):
    text = (folder / output / "log.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def test_any_number_of_processes_gives_the_same_curve_and_one_log(folder):
    for count in (1, 2, 4):
        done = finetune(folder, count, f"out{count}")
        assert done.returncode == 0, done.stderr
    assert len(curve(folder, "out1")) == 8
    for count in (2, 4):
        np.testing.assert_allclose(curve(folder, f"out{count}"), curve(folder, "out1"), atol=1e-5)


def test_a_run_of_two_processes_resumes_as_a_run_of_one(folder):
    assert finetune(folder, 2, "out", "--save-every", "4").returncode == 0
    shutil.rmtree(folder / "out" / "checkpoint-8")
    done = finetune(folder, 1, "out", "--save-every", "4", "--resume")
    assert done.returncode == 0, done.stderr
    assert finetune(folder, 1, "whole").returncode == 0
    np.testing.assert_allclose(curve(folder, "out"), curve(folder, "whole"), atol=1e-5)


def test_an_error_in_one_process_ends_all_and_is_said_once_by_name(folder):
    (folder / "fails.py").write_text(
        "from minibert2bert.training.mpi import MPIProcesses\n"
        "processes = MPIProcesses()\n"
        "if processes.rank == 1:\n"
        "    processes.abort(ValueError('the second one fails'))\n"
        "processes.sum_numbers([1.0])\n",
        encoding="utf-8",
    )
    done = launch(folder, 2, "fails.py")
    assert done.returncode != 0
    assert "process 1: the second one fails" in done.stderr


def test_sums_and_broadcasts_over_two_processes(folder):
    (folder / "sums.py").write_text(
        "import numpy as np\n"
        "import minibert2bert.training.mpi as mpi\n"
        "mpi.BUCKET = 5\n"
        "p = mpi.MPIProcesses()\n"
        "arrays = {'b': np.full((3, 4), p.rank + 1.0), 'a': np.arange(2.0) * (p.rank + 1)}\n"
        "total = p.sum_arrays(arrays)\n"
        "assert total['b'].tolist() == np.full((3, 4), 3.0).tolist()\n"
        "assert total['a'].tolist() == [0.0, 3.0]\n"
        "assert p.sum_arrays({}) == {}\n"
        "assert p.sum_numbers([1.0, p.rank]) == [2.0, 1.0]\n"
        "assert p.broadcast({'rank': p.rank}) == {'rank': 0}\n",
        encoding="utf-8",
    )
    done = launch(folder, 2, "sums.py")
    assert done.returncode == 0, done.stderr
