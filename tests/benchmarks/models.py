"""What the benchmarks share: equal models here and in transformers, batches, time and memory.

torch is imported inside the functions that need it, so that it does not count as our memory.
"""

import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from minibert2bert.components.loss import IGNORE
from minibert2bert.components.masks import mask_from_labels
from minibert2bert.models.config import BertGenerationConfig, EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

PAD, END, START = 0, 1, 2
FIRST_WORD = 3
SIZES = {
    "tiny": {"hidden": 128, "layers": 2, "heads": 2, "feed_forward": 512, "vocabulary": 2_000},
    "small": {"hidden": 256, "layers": 4, "heads": 4, "feed_forward": 1_024, "vocabulary": 8_000},
    "base": {"hidden": 768, "layers": 12, "heads": 12, "feed_forward": 3_072, "vocabulary": 30_522},
}
ATTENTIONS = ("sdpa", "eager")
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
PAUSE = 0.1
"""Seconds between two turns: idle threads of BLAS and torch spin for a while before they sleep,
and would take the processor from the other side."""
ROOT = Path(__file__).parents[2]


def build_config(size):
    """The config of a BertGeneration pair, with the usual dropout of 0.1."""
    numbers = SIZES[size]
    part = {
        "vocab_size": numbers["vocabulary"],
        "hidden_size": numbers["hidden"],
        "num_hidden_layers": numbers["layers"],
        "num_attention_heads": numbers["heads"],
        "intermediate_size": numbers["feed_forward"],
        "max_position_embeddings": 512,
        "pad_token_id": PAD,
        "bos_token_id": START,
        "eos_token_id": END,
    }
    return EncoderDecoderConfig.from_encoder_decoder_configs(
        BertGenerationConfig(**part),
        BertGenerationConfig(**part, is_decoder=True, add_cross_attention=True),
        pad_token_id=PAD,
        decoder_start_token_id=START,
        eos_token_id=END,
    )


def build_ours(size, seed=0):
    """A random model of this package, in float32."""
    return EncoderDecoderModel(build_config(size), rng=np.random.default_rng(seed))


def build_theirs(size, attention="sdpa", weights=None):
    """The model of transformers in evaluation mode, with these weights or random ones.

    attention: "sdpa" or "eager"
    weights: a flat dict of arrays under the parameters' names, copied
    """
    torch, transformers = quietly(__import__, "torch"), quietly(__import__, "transformers")
    transformers.logging.set_verbosity_error()
    # It says at every call with labels that version 4.12 changed where the loss is taken.
    warnings.filterwarnings("ignore", "Version v4.12.0 introduces", FutureWarning)
    config = transformers.EncoderDecoderConfig(**build_config(size).to_dict())
    config._attn_implementation = attention
    model = quietly(transformers.EncoderDecoderModel, config).eval()
    for part in (model.config.encoder, model.config.decoder):
        assert part._attn_implementation == attention
    for name, parameter in model.named_parameters():
        if weights is not None and name in weights:
            parameter.data.copy_(torch.from_numpy(weights[name]))
    return model


def build_pair(size, seed=0, attention="sdpa"):
    """The same random model here and in transformers: ours, theirs."""
    ours = build_ours(size, seed)
    return ours, build_theirs(size, attention, ours.parameters())


def random_batch(size, seed=0, batch=8, source=128, target=64):
    """Words padded on the right, with lengths uniform in 30 to 100 % of source and target.

    Returns what loss and a call take here, and to_tensors makes for transformers.
    """
    rng = np.random.default_rng(seed)
    vocabulary = SIZES[size]["vocabulary"]
    attention_mask, counted = (random_mask(rng, batch, length) for length in (source, target))
    words = rng.integers(FIRST_WORD, vocabulary, (batch, source))
    targets = rng.integers(FIRST_WORD, vocabulary, (batch, target))
    labels = np.where(counted, targets, IGNORE)
    return {
        "input_ids": np.where(attention_mask, words, PAD),
        "attention_mask": attention_mask.astype(np.int64),
        "decoder_attention_mask": mask_from_labels(labels).astype(np.int64),
        "labels": labels,
    }


def random_mask(rng, batch, length):
    lengths = rng.integers(-(-3 * length // 10), length + 1, (batch, 1))
    return np.arange(length) < lengths


def to_tensors(arrays):
    """The same arrays, shared with torch."""
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def interleaved(workloads, repeats):
    """Run A, B, A, B, ..., so that what else the machine does meets both.

    workloads: from a name to a function without arguments; each is run once before
    Returns from each name to its times in seconds.
    """
    times = {name: [] for name in workloads}
    for workload in workloads.values():
        workload()
    for _ in range(repeats):
        for name, workload in workloads.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            workload()
            times[name].append(time.perf_counter() - start)
    return times


def medians(times):
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def minima(times):
    return {name: min(seconds) for name, seconds in times.items()}


def use_threads(threads):
    """Start this program again, if need be: BLAS reads its threads when NumPy is imported."""
    wanted = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if wanted.items() <= os.environ.items():
        return
    os.environ.update(wanted)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def use_torch_threads(threads):
    quietly(__import__, "torch").set_num_threads(threads)


def peak_memory(code):
    """Run a few lines of Python in a process of their own; its peak of memory in MiB (Linux)."""
    # The process's own count: what wait() reports includes the parent's at the fork.
    code += "\nfrom tests.benchmarks.models import print_peak\nprint_peak()\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def print_peak():
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(line.split()[1]) / 1024)


def quietly(function, *arguments, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **keywords)
