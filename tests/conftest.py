"""Which tests can run here: those that need torch or a GPU are skipped where there is none."""

import importlib.util
import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# The tutorials are tested, too.
sys.path.append(str(Path(__file__).parent.parent))

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption("--hub", action="store_true", help="download the published models to test")
    told = "try your exercises, tutorials/exercises/NAME.py; without a name, list what is left"
    parser.addoption("--mine", nargs="*", metavar="NAME", help=told)
    parser.addoption("--mine-from", metavar="FOLDER", help="where your exercises are")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    names = config.getoption("--mine")
    if names is None:
        return None
    from mine.session import begin

    return begin(config, names)


def pytest_configure(config):
    if not config.getoption("--hub"):
        # Without it no test reaches for the network: what is not in a cache is not there.
        os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_modifyitems(items):
    missing = [p for p in ("torch", "transformers") if importlib.util.find_spec(p) is None]
    reasons = {}
    # Not at the top: with --mine, other files take the place of the package's before it is read.
    from minibert2bert.device import gpu_description

    if missing:
        reasons["parity"] = f"needs {' and '.join(missing)}: pip install minibert2bert[parity]"
    gpu = gpu_description()
    if " on " not in gpu:
        reasons["gpu"] = gpu
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


SEED = int(os.environ.get("PARITY_SEED", np.random.SeedSequence().generate_state(1)[0]))


@pytest.fixture
def rng(request):
    """Draw other numbers in each case of each test and in each run."""
    print(f"to repeat this: PARITY_SEED={SEED}")
    return np.random.default_rng([SEED, zlib.crc32(request.node.name.encode())])


@pytest.fixture(scope="session")
def quiet_transformers():
    """Import once for all tests, without the warnings of the import."""
    from parity_support import quietly

    quietly(__import__, "transformers").logging.set_verbosity_error()
    # Tiny models are many times slower on several threads.
    quietly(__import__, "torch").set_num_threads(1)
