# %% [markdown]
# # 3. Normalise a row, and differentiate through its mean and variance
#
# Layer normalisation moves every row of hidden states to mean 0 and variance 1, then lets each
# column have a scale and a shift of its own. A BERT layer does it twice, a decoder layer three
# times. It is also where hand-written backwards go wrong most often: the mean and the variance
# depend on every element of the row, so each element has three ways to the loss.
#
# **What you'll do.** Normalise a row of four on paper, derive the gradient one step at a time, find
# a short form of it and a picture of it, and see which wrong backwards a lax check lets pass.
#
# **What you'll learn.** To differentiate through a statistic of the row; why `dx` is `dy · weight`
# less two projections; why the order of the weight and the projections matters; why layer norms
# must be random in a gradient check.
#
# **What you'll need.** The chain rule as in [tutorial 1](01_linear.ipynb), and
# `pip install -e ".[tutorials]"`.

# %% [markdown]
# | Letter | Shape | Meaning |
# | --- | --- | --- |
# | `H` | 4 | hidden size, the length of a row |
# | `x`, `y` | (..., H) | what goes in, what comes out; every row is treated alike |
# | `weight`, `bias` | (H,) | scale and shift of each column, the parameters |
# | `eps` | a number | added to the variance, so that a constant row divides by no zero |
# | `mean`, `variance` | a number a row | of the row's H elements; the variance divides by H |
# | `inv_std` | a number a row | 1 / sqrt(variance + eps) |
# | `x_hat` | (..., H) | the row with mean 0 and variance 1, before scale and shift |
# | `L`, `dy`, `dx`, ... | | the loss, and its gradients ∂L/∂y, ∂L/∂x, ... |

# %%
import inspect
import math

import numpy as np

from minibert2bert.components.layer_norm import layer_norm
from minibert2bert.inspection.gradient_check import check_gradients
from tutorials.figures import DARK, LIGHT, MIDDLE, figure, label, legend, show

# %% [markdown]
# ## The equation
#
# ```
# y = weight · (x − mean) / sqrt(variance + eps) + bias
# mean = 1/H Σ_i x[i]            variance = 1/H Σ_i (x[i] − mean)²
# ```
#
# (Ba, Kiros and Hinton, 2016, equation 4, where weight is called gain; mean and variance are their
# equation 3.)
#
# In loops, on a row chosen so that the root comes out even. `eps` is 0 for once.

# %%
x, H, eps = [1, 7, 9, 15], 4, 0
weight, bias = [1, 2, 1, 2], [0, 1, 0, -1]

mean = sum(x) / H
centered = [value - mean for value in x]
variance = sum(value**2 for value in centered) / H
inv_std = 1 / math.sqrt(variance + eps)
x_hat = [value * inv_std for value in centered]
y = [weight[i] * x_hat[i] + bias[i] for i in range(H)]


def rounded(values):
    return [round(value, 10) + 0.0 for value in values]  # -0.0 + 0.0 is 0.0


print("mean", mean, " variance", variance, " inv_std", inv_std)
print("centered", centered)
print("x_hat   ", rounded(x_hat))
print("y       ", rounded(y))

# %% [markdown]
# By hand: the squares of −7, −1, 1 and 7 add up to 100, a quarter of that is 25, its root is 5.

# %% [markdown]
# ## The gradient, line by line
#
# Five lines made `y`. The backward takes them from the last to the first, and for each asks: what
# did this line read, and how much does the loss change with that?
#
# **`y = weight · x_hat + bias`**, element by element. `weight[i]` and `bias[i]` serve every row, so
# their gradients add up over the rows. `x_hat[i]` is used once.
#
# ```
# dbias[i]   = Σ_rows dy[i]                     slope 1
# dweight[i] = Σ_rows dy[i] · x_hat[i]          slope x_hat[i]
# dx_hat[i]  = dy[i] · weight[i]                slope weight[i]
# ```
#
# **`x_hat = centered · inv_std`**. `centered[i]` is used by one element, `inv_std` by all of them.
#
# ```
# dcentered[i] = dx_hat[i] · inv_std            its first path, straight
# dinv_std     = Σ_i dx_hat[i] · centered[i]    one number, H paths
# ```
#
# **`inv_std = (variance + eps)^(−1/2)`**, a function of one number.
#
# ```
# dvariance = dinv_std · (−1/2) (variance + eps)^(−3/2) = −1/2 · dinv_std · inv_std³
# ```
#
# **`variance = 1/H Σ_i centered[i]²`**. Here `centered[i]` is used a second time; paths add up.
#
# ```
# dcentered[i] += dvariance · 2/H · centered[i]                       its second path
#               = −inv_std³ · centered[i] · 1/H Σ_j dx_hat[j] · centered[j]
#               = −inv_std · x_hat[i] · mean(dx_hat · x_hat)          as centered · inv_std = x_hat
# ```
#
# **`centered = x − mean`**, where `mean = 1/H Σ_j x[j]`. `x[i]` is in `centered[i]` with slope 1,
# and through the mean in all of them with slope −1/H.
#
# ```
# dx[i] = dcentered[i] − 1/H Σ_j dcentered[j]  = dcentered[i] − mean(dcentered)
# ```
#
# **Together.** Put the two paths of `dcentered` into the last line. The mean of the first is
# `inv_std · mean(dx_hat)`; the mean of the second is 0, for `x_hat` has mean 0. So
#
# ```
# dx = inv_std · (dx_hat − mean(dx_hat) − x_hat · mean(dx_hat · x_hat))
# ```
#
# Nothing was neglected: this holds with any `eps`.
#
# Both ways, in loops and in the short form, on the numbers from above:

# %%
dy = [3, 0, -1, 1]

dx_hat = [dy[i] * weight[i] for i in range(H)]
dinv_std = sum(dx_hat[i] * centered[i] for i in range(H))
dvariance = -0.5 * dinv_std * inv_std**3
dcentered = [dx_hat[i] * inv_std + dvariance * 2 / H * centered[i] for i in range(H)]
dx = [dcentered[i] - sum(dcentered) / H for i in range(H)]

along_ones = sum(dx_hat) / H
along_x_hat = sum(dx_hat[i] * x_hat[i] for i in range(H)) / H
short = [inv_std * (dx_hat[i] - along_ones - x_hat[i] * along_x_hat) for i in range(H)]

print("dx_hat", dx_hat)
print("mean(dx_hat)", along_ones, " mean(dx_hat x_hat)", round(along_x_hat, 10))
print("dx, step by step  ", rounded(dx))
print("dx, the short form", rounded(short))

# %% [markdown]
# By hand, the first element: (3 − 1 − (−1.4) · (−0.4)) / 5 = (2 − 0.56) / 5 = 0.288.
#
# Two sums tell whether such a row can be right at all: the elements of `dx` add up to 0, and so do
# their products with `x_hat`.

# %%
print("sum of dx        ", *rounded([sum(dx)]))
print("sum of dx · x_hat", *rounded([sum(dx[i] * x_hat[i] for i in range(H))]))

# %% [markdown]
# ## What the two projections mean
#
# Add a number to all of `x`, and the output stays: the mean takes it off again. Stretch `x` about
# its mean, and the output stays: the variance takes it off again. Directions in which nothing
# happens have slope 0, so `dx` has no part along (1, ..., 1) and none along `x_hat`. That is all
# the two terms do: `mean(dx_hat)` is the part of `dx_hat` along ones, `x_hat · mean(dx_hat ·
# x_hat)` is its part along `x_hat`. (With an `eps` a little of the latter is left, the share eps /
# (variance + eps) of it.) The formula could have been guessed: take `dx_hat`, remove what cannot
# matter, and scale.
#
# With H = 3 it can be drawn. Look along the direction (1, 1, 1): what is left to see is the plane
# of the rows with mean 0, and in it those with variance 1 are a circle of radius sqrt(3).

# %%
plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
rows = np.array([[2.9, 0.2, 0.1], [0.1, 1.0, -0.6], [-2.5, 1.4, 0.9], [0.2, -1.8, 2.6]])
fresh = {"weight": np.ones(3), "bias": np.zeros(3)}
normed, normed_backward = layer_norm(fresh, rows, 1e-12)
wishes = np.array([[-0.5, 1.7], [1.4, -0.6], [0.8, 1.3], [-1.0, -1.4]]) @ plane
_, dx_of_wishes = normed_backward(wishes)
tangents = dx_of_wishes * rows.std(axis=-1, keepdims=True)

picture, axes = figure(columns=2, width=7.4, height=3.7)
turn = np.linspace(0, 2 * np.pi, 200)
for axis in axes:
    axis.plot(np.sqrt(3) * np.cos(turn), np.sqrt(3) * np.sin(turn), "-", color="#999999", marker="")
    axis.set(aspect="equal", xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def arrow(axis, start, end, color, line="-"):
    options = {"arrowstyle": "->", "color": color, "linestyle": line, "lw": 1.6}
    axis.annotate("", end, start, arrowprops={"shrinkA": 0, "shrinkB": 0, **options})


for row, place, wish, tangent in zip(
    rows @ plane.T, normed @ plane.T, wishes @ plane.T, tangents @ plane.T, strict=True
):
    axes[0].plot(*row, "s", color=MIDDLE)
    arrow(axes[0], row, place, MIDDLE)
    arrow(axes[1], place, place + wish, LIGHT, "--")
    arrow(axes[1], place, place + tangent, DARK)
    axes[1].plot(*zip(place + wish, place + tangent, strict=True), ":", color="#999999", marker="")
    for axis in axes:
        axis.plot(*place, "o", color=DARK)
axes[0].set_title("forward: rows (squares) go to the circle")
axes[1].set_title("backward: of dx_hat (dashed), dx keeps\nwhat runs along the circle (solid)")
show(
    picture,
    "Two panels with the same circle. Left: four squares inside and outside the circle, each with "
    "an arrow straight towards or away from the centre to a dot on the circle. Right: at each dot "
    "a dashed arrow in some direction and a solid one, which is its shadow on the tangent, joined "
    "to it by a dotted line: it touches the circle and has no part pointing to or from the centre.",
)

# %% [markdown]
# On the left, each row keeps its direction and loses its length. On the right, the dashed arrow is
# where the loss would have `x_hat` go; the solid one is what is left when the part to or from the
# centre, dotted, is taken away. (The lengths are before the factor `inv_std`: a row that was shrunk
# on the way in has a gradient shrunk by as much.)

# %% [markdown]
# ## The package's function

# %%
print(inspect.getsource(layer_norm))

# %% [markdown]
# The same formula for all rows at once. Whatever axes come before the last are folded into one axis
# of rows. `row_sums(rows) / H` is the mean of each row, `column_sums` adds up over the rows; both
# are matrix products with ones, which is the fastest way to add. `along_ones` and `along_x_hat` are
# the two means of the derivation: the sum over the row of `dy · weight` is a product with `weight`.
# And `dx` is changed in place, one term at a time, because the function has just made it and nobody
# else has seen it.
#
# ## Check it
#
# Everything random, weight and bias included.

# %%
rng = np.random.default_rng(2)
params = {"weight": rng.standard_normal(6), "bias": rng.standard_normal(6)}
states = 2 * rng.standard_normal((2, 3, 6)) + 3

for check in check_gradients(layer_norm, params, states, 1e-12):
    print(
        f"{check.tensor:13}  backward {check.analytic:9.5f}  measured {check.numerical:9.5f}  "
        f"{'right' if check.passed else 'WRONG'}"
    )

# %% [markdown]
# Why random? Below are four wrong formulas for `dx`, and four ways to check them: the upstream
# gradient all ones or random, the layer norm fresh (weight 1) or random. A mark says that the wrong
# gradient differs from the right one, so that a check would see it.


# %%
def statistics(x):
    centered = x - x.mean(axis=-1, keepdims=True)
    inv_std = 1 / np.sqrt(np.square(centered).mean(axis=-1, keepdims=True))
    return centered * inv_std, inv_std


def projected(gradient, x_hat):
    along = (gradient * x_hat).mean(axis=-1, keepdims=True)
    return gradient - gradient.mean(axis=-1, keepdims=True) - x_hat * along


def right(dy, weight, x):
    x_hat, inv_std = statistics(x)
    return inv_std * projected(dy * weight, x_hat)


def weight_outside(dy, weight, x):
    x_hat, inv_std = statistics(x)
    return weight * inv_std * projected(dy, x_hat)


def no_variance(dy, weight, x):
    _, inv_std = statistics(x)
    return inv_std * (dy * weight - (dy * weight).mean(axis=-1, keepdims=True))


def no_mean(dy, weight, x):
    x_hat, inv_std = statistics(x)
    along = (dy * weight * x_hat).mean(axis=-1, keepdims=True)
    return inv_std * (dy * weight - x_hat * along)


def always_zero(dy, weight, x):
    return np.zeros_like(x)


def gap(wrong, dy, weight):
    expected = right(dy, weight, states)
    return np.abs(wrong(dy, weight, states) - expected).max()


ones, random = np.ones_like(states), rng.standard_normal(states.shape)
fresh_weight, trained_weight = np.ones(6), params["weight"]
print("upstream gradient   ones    ones    random  random")
print("layer norm          fresh   random  fresh   random")
for wrong in (weight_outside, no_variance, no_mean, always_zero):
    seen = [
        gap(wrong, dy, weight) > 1e-6
        for dy in (ones, random)
        for weight in (fresh_weight, trained_weight)
    ]
    print(f"{wrong.__name__:20}" + "".join(f"{'seen' if s else '-':8}" for s in seen))

# %% [markdown]
# With ones and a fresh layer norm, `dx_hat` is all ones, which is the direction that cannot matter:
# the right gradient is zero, and any formula that takes off the mean returns it. The most
# deceptive mistake is the first. It is right as long as the weight is 1, that is, at the first step
# of training, and only then:

# %%
spreads = np.linspace(0, 1, 11)
noise = rng.standard_normal(6)
errors = [
    gap(weight_outside, random, 1 + s * noise) / np.abs(right(random, 1 + s * noise, states)).max()
    for s in spreads
]
picture, axes = figure(width=6.0, height=2.9)
axes.plot(100 * spreads, [100 * e for e in errors], label="weight outside the projections")
axes.plot(100 * spreads, 0 * spreads, label="right formula")
label(
    axes,
    "A backward that is right before training",
    "spread of weight around 1, %",
    "error of dx, %",
)
legend(axes, "upper left")
show(
    picture,
    "Error of dx in percent against the spread of the weight around 1. The right formula stays at "
    "0. The one with the weight outside the projections starts at 0 for a fresh layer norm and "
    "rises steadily, to nearly half of the gradient when the weights spread as widely as 1.",
)

# %% [markdown]
# A few steps into training the weights spread by some percent, and the gradient is wrong by nearly
# as much. Such a model learns, a little worse than it should, and nothing ever says so.

# %% [markdown]
# ## Questions
#
# <details><summary>1. What comes out for a constant row, (5, 5, 5, 5)? And what is its
# <code>dx</code>?</summary>
#
# `centered` is 0, so `x_hat` is 0 and `y` is the bias. `inv_std` is 1 / sqrt(eps), a million with
# BERT's 1e-12, so `dx` is a million times `dx_hat − mean(dx_hat)`. True to the formula, and one
# reason why some prefer a larger eps.
#
# </details>
#
# <details><summary>2. Why does <code>weight</code> come before the projections in the backward and
# after the normalisation in the forward?</summary>
#
# A backward runs the other way round: what came last is undone first. In `weight · projected(dy)`
# the two are swapped, and they do not commute: after multiplying by a weight that is not constant,
# the row has a part along ones again.
#
# </details>
#
# <details><summary>3. Does a row with mean 0 and variance 1 pass unchanged? Does its
# gradient?</summary>
#
# The row does (weight 1, bias 0). The gradient does not: it still loses its two parts. That the
# output equals the input here says nothing of its neighbours.
#
# </details>
#
# <details><summary>4. What must the backward keep?</summary>
#
# `x_hat`, as large as the input, and `inv_std`, one number a row. Neither `x` nor `y` is needed, so
# keeping them as well would double what training remembers of this layer.
#
# </details>

# %% [markdown]
# ## Exercise
#
# Write `tutorials/exercises/layer_norm.py`: five lines forward, and the short form backward. The
# `x` may have any number of axes before the last, so means along a row want `axis=-1,
# keepdims=True`, and `dweight` and `dbias` sum over all other axes.
#
# ```
# pytest --mine layer_norm
# ```

# %% [markdown]
# ## The fine print
#
# - **H or H − 1.** The variance divides by H. The Annotated Transformer takes its standard
#   deviation from a function that divides by H − 1, and adds `eps` to the standard deviation
#   instead of to the variance; readers have asked about it for years, and other projects have
#   copied it. Such a model learns, but it reproduces no checkpoint.
# - **eps.** BERT has 1e-12, GPT-2 and the default of torch 1e-5. It is part of the checkpoint:
#   `layer_norm_eps` in the config. In float32, 1e-12 is lost in any variance above 2e-5.
# - **The weight outside.** The mistake of the last figure stands in a transformer in NumPy that
#   others learn from (AkiRusProd/numpy-transformer). Against finite differences it is exact to
#   1e-10 with a weight of ones, and off by a twelfth of the gradient with a random one.
# - **Ones again.** That the sum of a layer norm's outputs has no gradient has been taken for a bug
#   of PyTorch (issue 63541). It is the first column of the table above.
# - **What the tests of others look at.** thinc's test of its layer norm compares types, ranks and
#   widths of the results. All of the wrong formulas above have those right.
# - **Two passes.** mean(x²) − mean(x)² is the variance, too, and needs one pass less. In float32 it
#   loses all its digits once the mean is some thousand times the spread: the two terms agree in
#   them. Centre first.
# - **A relative.** RMSNorm (Zhang and Sennrich, 2019) leaves out mean and bias; its backward has
#   one projection, the one along `x_hat`.
#
# Next: [embeddings](04_embeddings.ipynb), where ids become the rows that are normalised here.
