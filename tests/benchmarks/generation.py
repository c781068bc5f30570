"""Generation beside transformers: the same weights, the same sources, the same ids.

    python -m tests.benchmarks.generation --sizes tiny small base --repeats 5 --threads 2

Greedy search and four beams, 64 new tokens, forced. The two sides must find the same ids, then
they take turns. A last row takes the time from the start of a fresh process to the first token.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.models import (
    PAUSE,
    ROOT,
    SIZES,
    build_ours,
    build_pair,
    interleaved,
    medians,
    peak_memory,
    random_batch,
    to_tensors,
    use_threads,
    use_torch_threads,
)

NEW_TOKENS = 64
BEAMS = {"greedy": 1, "beam 4": 4}
SCORE_TOLERANCE = 1e-5
"""Of a sum of 64 float32 log-probabilities, relative to it."""
COLD_SIZE = "small"


def sources(size, batch):
    """What both sides read: input_ids and attention_mask, (batch, 128)."""
    arrays = random_batch(size, batch=batch)
    return {name: arrays[name] for name in ("input_ids", "attention_mask")}


def options(beams):
    length = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS}
    return {**length, "num_beams": beams, "do_sample": False}


def our_workload(model, arrays, beams, **more):
    """A function without arguments that generates once, and returns what generate returns."""
    return lambda: model.generate(**arrays, **options(beams), **more)


def their_workload(model, arrays, beams, **more):
    """The same with transformers."""
    import torch

    tensors = to_tensors(arrays)

    def work():
        with torch.inference_mode():
            return model.generate(**tensors, **options(beams), **more)

    return work


def assert_equal_output(ours, theirs, arrays, beams):
    """The same ids and, with beams, the same scores."""
    more = {"return_dict_in_generate": True, "output_scores": beams > 1}
    here = our_workload(ours, arrays, beams, **more)()
    there = their_workload(theirs, arrays, beams, **more)()
    np.testing.assert_array_equal(here.sequences, there.sequences.numpy())
    if beams > 1:
        scores = there.sequences_scores.numpy()
        np.testing.assert_allclose(here.sequences_scores, scores, rtol=SCORE_TOLERANCE)


def measure(ours, theirs, arrays, beams, repeats):
    """The median times of both sides in seconds: ours, theirs."""
    assert_equal_output(ours, theirs, arrays, beams)
    workloads = {
        "ours": our_workload(ours, arrays, beams),
        "theirs": their_workload(theirs, arrays, beams),
    }
    middle = medians(interleaved(workloads, repeats))
    return middle["ours"], middle["theirs"]


def peak_of(side, size, batch, beams):
    """The peak of memory of a process that generates twice, in MiB."""
    build = {"our": "build_ours", "their": "build_theirs"}[side]
    return peak_memory(
        f"from tests.benchmarks import generation, models\n"
        f"model, arrays = models.{build}({size!r}), generation.sources({size!r}, {batch})\n"
        f"work = generation.{side}_workload(model, arrays, {beams})\n"
        f"for _ in range(2): work()"
    )


OUR_START = """
from minibert2bert.models.encoder_decoder import EncoderDecoderModel
import numpy as np
model = EncoderDecoderModel.from_pretrained({folder!r})
model.generate(np.arange(3, 131)[None], max_new_tokens=1)
"""
THEIR_START = """
from transformers import EncoderDecoderModel
import torch
model = EncoderDecoderModel.from_pretrained({folder!r})
with torch.inference_mode():
    model.generate(torch.arange(3, 131)[None], max_new_tokens=1)
"""


def cold_start(repeats):
    """The median times from the start of a process to its first token: ours, theirs."""
    times = {OUR_START: [], THEIR_START: []}
    with tempfile.TemporaryDirectory() as folder:
        build_ours(COLD_SIZE).save_pretrained(Path(folder) / "model")
        for turn in range(repeats + 1):
            for code, seconds in times.items():
                command = [sys.executable, "-c", code.format(folder=f"{folder}/model")]
                time.sleep(PAUSE)
                start = time.perf_counter()
                subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
                # The first turn reads the files from the disk.
                if turn:
                    seconds.append(time.perf_counter() - start)
    ours, theirs = (statistics.median(seconds) for seconds in times.values())
    return ours, theirs


def rows(chosen):
    """Yield a dict for each row of the table."""
    for size in chosen.sizes:
        ours, theirs = build_pair(size)
        for search, beams in BEAMS.items():
            for batch in chosen.batches:
                times = measure(ours, theirs, sources(size, batch), beams, chosen.repeats)
                peaks = [peak_of(side, size, batch, beams) for side in ("our", "their")]
                yield as_row(size, f"{search}, batch {batch}", times, peaks)
    yield as_row(COLD_SIZE, "cold start", cold_start(chosen.repeats), None)


def as_row(size, workload, times, peaks):
    ours, theirs = times
    row = {"size": size, "workload": workload, "ours_s": ours, "theirs_s": theirs}
    row["ratio"] = theirs / ours
    if peaks is not None:
        row["ours_mib"], row["theirs_mib"] = peaks
    return row


def as_text(row):
    memory = f"{row['ours_mib']:6.0f} {row['theirs_mib']:7.0f}" if "ours_mib" in row else ""
    times = f"{1e3 * row['ours_s']:9.1f} {1e3 * row['theirs_s']:10.1f} {row['ratio']:6.2f}"
    return f"{row['size']:6} {row['workload']:16} {times} {memory}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="a file to write the rows to")
    chosen = parser.parse_args()
    use_threads(chosen.threads)
    use_torch_threads(chosen.threads)
    print("size   workload           ours ms  theirs ms  ratio  MiB  theirs")
    table = []
    for row in rows(chosen):
        print(as_text(row), flush=True)
        table.append(row)
    if chosen.json:
        chosen.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
