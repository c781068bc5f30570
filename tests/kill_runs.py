"""Train, be killed again and again, go on, and compare with a run that nobody disturbed.

python kill_runs.py moments|changes FOLDER SEED prints as JSON how often it killed. Children are
forked, so that a run starts in milliseconds.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

from training_support import DROPOUT, copied_pairs, tiny_model

from minibert2bert.training.events import Saved
from minibert2bert.training.log import LOG_FILE, read_log
from minibert2bert.training.loop import train
from minibert2bert.training.settings import TrainingSettings

SETTINGS = TrainingSettings(
    max_steps=40,
    train_batch_size=4,
    learning_rate=0.01,
    save_every=2,
    eval_every=3,
    save_total_limit=2,
)
PAIRS, EVAL_PAIRS = copied_pairs(30), copied_pairs(5, seed=1)
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree")
WANTED_KILLS = 50


def job(folder, callbacks=()):
    """What every child does: go on with the run, or begin it."""
    warnings.simplefilter("ignore")
    model = tiny_model(**DROPOUT)
    train(model, PAIRS, SETTINGS, EVAL_PAIRS, folder, resume=True, callbacks=callbacks)


def fork(folder, prepare=None):
    """Start a child on the folder, and return its process id."""
    child = os.fork()
    if child == 0:
        try:
            job(folder, prepare() if prepare else ())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def was_killed(child):
    """Wait for the end of a child; any other end than success or a kill ends all."""
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and status != 0:
        sys.exit("a child failed")
    return killed


def finish(folder):
    if was_killed(fork(folder)):
        sys.exit("who killed it?")


def result_of(folder):
    """All files of a finished run by their contents; of the log, what does not tell the time."""
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOG_FILE
    }
    lines = [{**line, "tokens_per_second": None} for line in read_log(folder)]
    return files, lines


def kill_at_random_moments(folder, chance, longest, most):
    """Run to the end in spite of kills, at most so many; return how many there were."""
    for kills in range(most):
        child = fork(folder)
        time.sleep(chance.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        if not was_killed(child):
            return kills
    finish(folder)
    return most


def kill_at_change(number):
    """Have this process kill itself before it changes the file system for the nth time."""
    left = [number]

    def hook(event, arguments):
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return ()


def kill_when_saved(step):
    """Return callbacks that end the process after the checkpoint of a step."""

    def callback(event):
        if isinstance(event, Saved) and event.folder.endswith(f"checkpoint-{step}"):
            os.kill(os.getpid(), signal.SIGKILL)

    return (callback,)


def at_moments(folder, seed, expected, duration):
    """Kill at random moments; return how often."""
    chance, kills, runs = random.Random(seed), 0, 0
    while kills < WANTED_KILLS:
        disturbed = folder / f"disturbed-{runs}"
        kills += kill_at_random_moments(disturbed, chance, duration / 5, WANTED_KILLS - kills)
        assert result_of(disturbed) == expected, f"run {runs}"
        runs += 1
    return kills


def at_changes(folder, seed, expected, _):
    """Kill between a resumption and its end, at every fourth change of the file system."""
    begun, change, kills = folder / "begun", seed % 4, 0
    assert was_killed(fork(begun, lambda: kill_when_saved(38)))
    while True:
        disturbed = folder / f"disturbed-{change}"
        shutil.copytree(begun, disturbed)
        if not was_killed(fork(disturbed, lambda number=change: kill_at_change(number))):
            return kills
        finish(disturbed)
        assert result_of(disturbed) == expected, f"killed at change {change}"
        kills, change = kills + 1, change + 4


def main(how, folder, seed):
    """Make the undisturbed run, then the others, and print the number of kills."""
    began = time.perf_counter()
    finish(folder / "calm")
    duration = time.perf_counter() - began
    print(json.dumps({"kills": how(folder, seed, result_of(folder / "calm"), duration)}))


if __name__ == "__main__":
    ways = {"moments": at_moments, "changes": at_changes}
    main(ways[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]))
