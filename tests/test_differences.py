"""The page of differences: every row names a test, and that test exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "tutorials" / "differences.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_named_test_exists(file, name):
    source = (TESTS / file).read_text(encoding="utf-8")
    assert f"def {name}(" in source


def test_every_row_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    headers = sum("transformers | here" in row for row in rows)
    assert len(NAMED) == len(rows) - 2 * headers
