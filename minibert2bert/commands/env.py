"""minibert2bert env: print versions, BLAS, threads and GPU."""

import argparse
import os
import platform
from importlib import metadata
from typing import Any

from minibert2bert import __version__


def add(commands: Any) -> None:
    """Describe the command env."""
    parser = commands.add_parser("env", help="print versions, BLAS, threads and GPU")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print what a report of a problem should contain."""
    import numpy as np

    from minibert2bert.device import gpu_description

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    limits = [f"{name}={os.environ[name]}" for name in variables if name in os.environ]
    lines = {
        "minibert2bert": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for package in ("numpy", "sentencepiece", "safetensors"):
        lines[package] = metadata.version(package)
    lines["blas"] = f"{blas['name']} {blas['version']}"
    lines["threads"] = f"{os.cpu_count()} processors, {', '.join(limits) or 'no limit set'}"
    lines["gpu"] = gpu_description()
    for name, value in lines.items():
        print(f"{name:<14} {value}")
    return 0
