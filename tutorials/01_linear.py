# %% [markdown]
# # 1. Differentiate a linear layer
#
# A linear layer multiplies by a matrix and adds a bias. Most parameters of a BERT are in such
# matrices, and their backward has everything that the larger ones have: a sum over all paths from
# a number to the loss, a sum over the batch, and one gradient for each thing that went in. So this
# is the place to learn how a gradient is derived, and how it is checked.
#
# **What you'll do.** Compute a layer of six weights in loops, derive its three gradients, compute
# them on paper, and hold the package's function against finite differences.
#
# **What you'll learn.** What `dx` and an upstream gradient are; why the gradient of a weight is a
# sum over the batch; how a slope is measured and with which step; why a gradient check wants
# random numbers and double precision.
#
# **What you'll need.** Matrix products, partial derivatives, and `pip install -e ".[tutorials]"`.

# %% [markdown]
# | Letter | Shape | Meaning |
# | --- | --- | --- |
# | `R` | 2 | rows: all positions of all sentences, one below the other |
# | `I`, `O` | 3, 2 | inputs and outputs of the layer |
# | `x` | (R, I) | what goes in |
# | `weight`, `bias` | (O, I), (O,) | the parameters, as in the checkpoint: outputs first |
# | `y` | (R, O) | what comes out |
# | `L` | a number | the loss: whatever is computed from `y` in the end |
# | `dy` | (R, O) | the upstream gradient ∂L/∂y: how the loss changes with each element of `y` |
# | `dx`, `dweight`, `dbias` | as `x`, ... | what is to be found: ∂L/∂x, ∂L/∂weight, ∂L/∂bias |

# %%
import inspect

import numpy as np

from minibert2bert.components.linear import linear
from minibert2bert.inspection.gradient_check import check_gradients, gradient_checks
from tutorials.figures import figure, label, legend, matrix, show

# %% [markdown]
# ## The equation
#
# ```
# y[r, o] = Σ_i x[r, i] weight[o, i] + bias[o]            in matrices: y = x weightᵀ + bias
# ```
#
# (Rumelhart, Hinton and Williams, 1986, equation 1: the total input of a unit. They, too, write
# the output's index first, w_ji for the connection from i to j.)
#
# In loops, on numbers small enough for paper:

# %%
x = [[1, 2, 0], [3, -1, 2]]
weight = [[1, 0, 2], [-1, 1, 0]]
bias = [1, -2]

y = [[0, 0], [0, 0]]
for r, o in np.ndindex(2, 2):
    y[r][o] = bias[o]
    for i in range(3):
        y[r][o] += x[r][i] * weight[o][i]

print("y =", y)

# %% [markdown]
# The last number, by hand: `3 · (−1) + (−1) · 1 + 2 · 0 + (−2) = −6`.

# %% [markdown]
# ## The question that a backward answers
#
# Behind the layer come others, and at the very end stands one number, the loss `L`. A backward does
# not know what comes behind. It is told one thing: `dy`, how much `L` changes when an element of
# `y` changes by a little, for each element. From this it must say how much `L` changes with each
# element of `x`, `weight` and `bias`. The chain rule is all that is needed. If `L` depends on a
# number `a` only through the elements of `y`, then
#
# ```
# ∂L/∂a = Σ_r Σ_o ∂L/∂y[r, o] · ∂y[r, o]/∂a = Σ_r Σ_o dy[r, o] · ∂y[r, o]/∂a
# ```
#
# in words: follow every path from `a` to the loss, multiply the slopes along it, add up the paths.
#
# ## The gradients, line by line
#
# **The weight.** Which elements of `y` does `weight[p, j]` touch? Those of column `p`, one in each
# row; there its factor is `x[r, j]`.
#
# ```
# dweight[p, j] = Σ_r Σ_o dy[r, o] · ∂y[r, o]/∂weight[p, j]        chain rule
# ∂y[r, o]/∂weight[p, j] = x[r, j] if o = p, else 0                y is a sum of products
# dweight[p, j] = Σ_r dy[r, p] · x[r, j]                           only o = p is left
# dweight = dyᵀ x                                                  the same for all p and j
# ```
#
# The sum over `o` is gone, the sum over the rows has stayed: one weight serves all rows, and every
# row has its say. (Rumelhart, Hinton and Williams, equation 6, for one row; they add up the rows in
# words.)
#
# **The bias** is a weight whose input is always 1. Put 1 for `x[r, j]`:
#
# ```
# dbias[p] = Σ_r dy[r, p]
# ```
#
# **The input.** `x[s, j]` touches all elements of row `s`, and no other row.
#
# ```
# dx[s, j] = Σ_r Σ_o dy[r, o] · ∂y[r, o]/∂x[s, j]                  chain rule
# ∂y[r, o]/∂x[s, j] = weight[o, j] if r = s, else 0                y is a sum of products
# dx[s, j] = Σ_o dy[s, o] · weight[o, j]                           only r = s is left
# dx = dy weight                                                   the same for all s and j
# ```
#
# Here the sum over the rows is gone, and the one over the outputs has stayed: equation 7 there.
# A rule of thumb that catches most mistakes: **a gradient has the shape of what it belongs to**.
# Of `dy` (R, O) and `x` (R, I), only one product has the shape of `dweight`, (O, I).
#
# On the numbers from above, in loops and for an upstream gradient of small integers:

# %%
dy = [[1, -1], [2, 1]]

dweight = [[0, 0, 0], [0, 0, 0]]
dbias = [0, 0]
dx = [[0, 0, 0], [0, 0, 0]]
for r, o in np.ndindex(2, 2):
    dbias[o] += dy[r][o]
    for i in range(3):
        dweight[o][i] += dy[r][o] * x[r][i]
        dx[r][i] += dy[r][o] * weight[o][i]

print("dweight =", dweight)
print("dbias   =", dbias)
print("dx      =", dx)

# %% [markdown]
# Note the `+=` in all three lines. Whoever writes `=` keeps the last path and drops the others.
#
# The sum over the rows, as a picture. Each row contributes the product of a column, its `dy`, and a
# row, its `x`; such a matrix says what that row alone would have the weight do.

# %%
picture, axes = figure(columns=3, width=7.2, height=2.0)
parts = [np.outer(dy[r], x[r]) for r in range(2)]
matrix(axes[0], parts[0], "row 0: dy = (1, −1), x = (1, 2, 0)", largest=7)
matrix(axes[1], parts[1], "row 1: dy = (2, 1), x = (3, −1, 2)", largest=7)
matrix(axes[2], parts[0] + parts[1], "their sum: dweight", largest=7)
show(
    picture,
    "Three matrices of two rows and three columns. Row 0 of the batch gives 1 2 0 and -1 -2 0, "
    "row 1 gives 6 -2 4 and 3 -1 2. The third is their sum, 7 0 4 and 2 -3 2: dweight. "
    "In its second column the two rows cancel in part.",
)

# %% [markdown]
# In the upper middle the two rows pull with equal strength in opposite directions, and the weight
# is left where it is: 2 − 2 = 0. A batch is a vote.

# %% [markdown]
# ## Is it right? Measure the slope
#
# A derivative is a limit, so a small step shows it nearly: move one number by `h` to both sides,
# and divide the change of `L` by `2h`. To do that, `L` must be known. Take
# `L = Σ_r Σ_o dy[r, o] y[r, o]`: its upstream gradient is `dy`, whatever `dy` is. Here for
# `weight[0, 2]`, with a step of 1/4; `dweight` said 4.


# %%
def loss(weight):
    y = np.array(x) @ np.array(weight).T + bias
    return (np.array(dy) * y).sum()


upper = loss([[1, 0, 2.25], [-1, 1, 0]])
lower = loss([[1, 0, 1.75], [-1, 1, 0]])
print(f"L above {upper}, L below {lower}, slope {(upper - lower) / 0.5}")

# %% [markdown]
# Exact, even with so large a step: `L` is a straight line in each weight. What comes later in a
# model is curved, and there the step matters. So look at a curved function, the same layer with a
# tanh behind it, and measure the slope along one direction with steps from 1/10 down to 10⁻¹³.

# %%
rng = np.random.default_rng(0)
start, direction = rng.standard_normal(20), rng.standard_normal(20)
exact = ((1 - np.tanh(start) ** 2) * direction).sum()
steps = 10.0 ** -np.arange(1, 14)


def curved(h, dtype):
    return np.tanh((start + h * direction).astype(dtype)).sum()


def error(slope):
    return max(abs(slope - exact) / abs(exact), 1e-16)


def one_sided(h, dtype):
    return error((curved(h, dtype) - curved(0, dtype)) / h)


def centred(h, dtype):
    return error((curved(h, dtype) - curved(-h, dtype)) / (2 * h))


picture, axes = figure(width=6.4, height=3.6)
for name, slope, dtype in (
    ("centred, float64", centred, np.float64),
    ("one-sided, float64", one_sided, np.float64),
    ("centred, float32", centred, np.float32),
):
    axes.loglog(steps, [slope(h, dtype) for h in steps], label=name)
label(axes, "How far a measured slope is off", "step h", "relative error")
axes.set_ylim(1e-14, 1e4)
legend(axes, "upper right")
show(
    picture,
    "Relative error of a measured slope against the step, both logarithmic. Each curve is a V: "
    "from the right it falls with the step, until rounding lets it rise again. The centred "
    "difference in float64 is lowest, below 1e-10 for a step of 1e-5; the one-sided one reaches "
    "1e-8; the one in float32 reaches 1e-5 at a step of 1e-2, and is useless below 1e-5.",
)

# %% [markdown]
# On the right, the function's bend is the error: it falls with `h` for one-sided differences and
# with `h²` for centred ones. On the left, rounding is: the two losses agree in ever more digits,
# and their difference is made of the few that are left. The bottom of the V is near `h = 10⁻⁵` for
# centred differences in double precision. That is the step of `check_gradients`, and the reason
# why it refuses float32.

# %% [markdown]
# ## The package's function

# %%
print(inspect.getsource(linear))

# %% [markdown]
# It is the four lines from above, for rows: `rows @ weight.T`, `drows.T @ rows`, a sum over the
# rows, `drows @ weight`. A component takes its parameters first and returns its output together
# with its own backward; `dparams` has the names of `params`. The `reshape` makes one long column of
# rows of whatever axes came before the last, (B, T, H) for example, because one large product is
# faster than many small ones. `column_sums` is `drows.sum(axis=0)`, computed as a product.
#
# ## Check it
#
# `check_gradients` moves each array along a random direction, which takes two evaluations an array
# however large it is, and compares with what the backward says about that direction.

# %%
rng = np.random.default_rng(1)
params = {"weight": rng.standard_normal((5, 4)), "bias": rng.standard_normal(5)}
states = rng.standard_normal((2, 3, 4))

for check in check_gradients(linear, params, states):
    print(
        f"{check.tensor:13}  backward {check.analytic:9.5f}  measured {check.numerical:9.5f}  "
        f"{'right' if check.passed else 'WRONG'}"
    )

# %% [markdown]
# A check that never fails proves nothing. Here is a backward with two mistakes: it takes the mean
# over the rows for the bias, and it forgets `dy` in the gradient of the weight.


# %%
def careless(params, x):
    y, right_backward = linear(params, x)

    def backward(dy):
        dparams, dx = right_backward(dy)
        rows = dy.size // dy.shape[-1]
        forgetful, _ = right_backward(np.ones_like(dy))
        return {"weight": forgetful["weight"], "bias": dparams["bias"] / rows}, dx

    return y, backward


for check in gradient_checks(careless, params, states):
    print(f"{check.tensor:13}  {'right' if check.passed else 'WRONG'}", end="")
    print("" if check.passed else f", {check.analytic / check.numerical:.4f} of what it should be")

# %% [markdown]
# The ratio of the bias, 0.1667, is one sixth, and there are six rows: a mean where a sum belongs.
# The ratio of the weight tells nothing by itself, but it is far from 1.
#
# With an upstream gradient of ones, the most convenient choice, the second mistake cannot be seen:
# forgetting to multiply by 1 changes nothing. That is why `check_gradients` draws `dy` at random,
# and why parameters in a check should be random, too.

# %% [markdown]
# ## Questions
#
# <details><summary>1. The layer gets two sentences of 50 positions, H = 768 in and out. How many
# multiplications does the forward take, and how many the backward?</summary>
#
# Forward: each of 100 · 768 outputs sums 768 products, 59 million. Backward: `dweight` sums 100
# products for each of 768² weights, `dx` sums 768 for each of 100 · 768 inputs, 59 million each.
# A backward costs twice its forward.
#
# </details>
#
# <details><summary>2. What must a backward keep from its forward?</summary>
#
# The input, for `dweight = dyᵀ x`, and the weight, for `dx = dy weight`. The output is not needed.
# This is why training takes so much more memory than use: every layer keeps its input.
#
# </details>
#
# <details><summary>3. One array goes through two linear layers, as hidden states go into query, key
# and value. What is its gradient?</summary>
#
# The sum of the two `dx`: paths add up. Taking only one of them is a common mistake, and the model
# still learns something, which makes it hard to notice.
#
# </details>
#
# <details><summary>4. Why does <code>dx</code> use <code>weight</code>, where the forward used its
# transpose?</summary>
#
# Forward, output o collects from all inputs i; backward, input i collects from all outputs o, along
# the same connections. Swapping who collects is transposing.
#
# </details>

# %% [markdown]
# ## Exercise
#
# `tutorials/exercises/linear.py` has the signature, the docstring and no body. Write it, forward
# first, and run
#
# ```
# pytest --mine linear
# ```
#
# It compares every array with the right one and names the mistake if it knows it. Once all are
# right, your file takes the place of the package's: the tests of `linear` run on it, and the demo
# model translates a sentence with it. `pytest --mine` alone lists what is done and what is left.

# %% [markdown]
# ## The fine print
#
# - **Which way round.** The checkpoints of BERT in torch keep a weight as (O, I). TensorFlow and
#   GPT-2 keep it as (I, O), so that `y = x weight`: see `conv1d.py`. A square matrix (768, 768)
#   read the wrong way round raises no error anywhere; the model talks nonsense.
# - **Adding up.** A framework adds gradients into the place where the last ones are, so two uses of
#   a weight add by themselves, and two batches do, too, if nobody clears the place. Here gradients
#   are returned, and who uses a weight twice adds in plain sight. In the lectures around micrograd
#   the author's first version assigns where it has to add, and is corrected on stage: with every
#   number used once, the mistake had not shown.
# - **What the check cannot see.** It tries one random direction an array, so a wrong element hides
#   with probability zero, but one that is smaller than a millionth of the gradient's length does
#   hide. At a kink, as relu has at 0, no step is small enough if the kink lies within it.
# - **Kinder checks are weaker.** Several projects check with an upstream gradient of ones. For a
#   softmax the right answer is then zero, and so is that of a backward that returns zeros:
#   numpy-ml's test compares just that.
# - **Rounding.** `column_sums` adds in another order than a loop. In float32 the two differ in the
#   seventh digit, and neither is the right one.
#
# Next: [activations](02_activations.ipynb), which bend what a linear layer has made. Without them,
# a stack of linear layers would be one linear layer.
