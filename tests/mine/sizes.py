"""The sizes of the examples: all different, so that a wrong factor names its origin."""

import math

from support import SmallSettings

B, N, T, S, D, F, V, P = 5, 3, 4, 6, 7, 8, 11, 9
H = N * D
ROWS = {"the number of rows B T": B * T, "the batch size B": B, "the length T": T}
SCALES = {"sqrt(D)": math.sqrt(D), "D": D}
SETTINGS = SmallSettings(num_attention_heads=N)
