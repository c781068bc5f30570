import subprocess
import sys

import numpy as np
import pytest
from device_array import DeviceArray

from minibert2bert.components.blocks import BLOCK, blocks, column_sums, row_sums


@pytest.mark.parametrize("shape", [(3,), (BLOCK + 1,), (700, 300), (5, 2 * BLOCK), (0, 4), (4, 0)])
def test_the_blocks_cover_the_first_axis_once_and_in_order(shape):
    covered = [index for block in blocks(np.empty(shape)) for index in range(shape[0])[block]]
    assert covered == list(range(shape[0]))


def test_a_block_has_as_many_rows_as_fit():
    rows = np.empty((700, 300))
    sizes = [rows[block].size for block in blocks(rows)]
    assert BLOCK - 300 < sizes[0] <= BLOCK
    assert max(sizes) == sizes[0]


def test_a_row_that_is_larger_than_a_block_is_a_block():
    assert list(blocks(np.empty((2, BLOCK + 1)))) == [slice(0, 1), slice(1, 2)]


def test_another_device_gets_everything_at_once():
    assert list(blocks(DeviceArray(np.zeros((700, 300))))) == [slice(0, 700)]


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 4, 5), (0, 4)])
def test_the_sums_of_rows_are_those_over_the_last_axis(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_allclose(row_sums(x), x.sum(axis=-1, keepdims=True), rtol=0, atol=1e-14)


def test_the_sums_of_columns_are_those_over_the_rows():
    x = np.random.default_rng(0).standard_normal((6, 5))
    np.testing.assert_allclose(column_sums(x), x.sum(axis=0), rtol=0, atol=1e-14)


@pytest.mark.parametrize("sums", [row_sums, column_sums])
def test_float32_stays_float32(sums):
    assert sums(np.ones((2, 3), dtype=np.float32)).dtype == np.float32


FAULTS = """
import resource
import numpy as np
import minibert2bert.components.blocks
def step():
    arrays = [np.ones(300_000) for _ in range(10)]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about the C library of Linux")
def test_what_a_step_frees_is_there_for_the_next():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    # The ten arrays are 5,860 pages; taken anew in each of five steps, they would be 29,300 faults.
    assert int(done.stdout) < 1_000
