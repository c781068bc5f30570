"""Which tests can run here: those that need torch or a GPU are skipped where there is none."""

import importlib.util

import pytest

from minibert2bert.device import gpu_description


def pytest_collection_modifyitems(items):
    missing = [p for p in ("torch", "transformers") if importlib.util.find_spec(p) is None]
    reasons = {}
    if missing:
        reasons["parity"] = f"needs {' and '.join(missing)}: pip install minibert2bert[parity]"
    gpu = gpu_description()
    if " on " not in gpu:
        reasons["gpu"] = gpu
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
