"""The cases of what works on rows: linear, activations, layer norm."""

import math

import numpy as np
from mine.check import Case
from mine.sizes import ROWS, B, F, H, N, T
from support import linear_params, norm_params


def linear_cases(rng):
    def last_only(params, x, dy):
        return dy[-1].T @ x[-1]

    params = linear_params(rng, F, H)
    yield Case(
        "linear",
        (params, rng.standard_normal((B, T, H))),
        told=f"x (B, T, I) = ({B}, {T}, {H}), weight (O, I) = ({F}, {H}), all random",
        factors=ROWS | {"I": H, "O": F},
        mistakes={
            "dparams.weight": {
                "counts only the last sentence of the batch: add over all rows": last_only
            }
        },
    )
    weight = {"weight": params["weight"]}
    yield Case("linear", (weight, rng.standard_normal((T, H))), told="a layer without a bias")
    for shape in ((H,), (B, N, T, H)):
        yield Case("linear", (params, rng.standard_normal(shape)), told=f"x {shape}")


def activation_cases(rng):
    def cdf(x):
        return np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(x)

    def bell(x):
        return np.exp(-np.square(x) / 2) / math.sqrt(2 * math.pi)

    x = 2 * rng.standard_normal((T, H))
    slopes = {
        "lacks x phi(x): by the product rule Phi is differentiated, too": lambda x, dy: dy * cdf(x),
        "lacks Phi(x): by the product rule x is differentiated, too": lambda x, dy: (
            dy * x * bell(x)
        ),
        "has phi(x) where x phi(x) belongs": lambda x, dy: dy * (cdf(x) + bell(x)),
    }
    yield Case("gelu", (x,), told=f"x {x.shape} random", mistakes={"dx": slopes})
    told = {"y": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh}
    for name, function in (("sigmoid", told["y"]), ("tanh", told["tanh"])):
        yield Case(
            name,
            (x,),
            told=f"x {x.shape} random",
            known=lambda x, dy, y=function: {
                "y": y(x),
                "dy * y": dy * y(x),
                "dy * y^2": dy * y(x) ** 2,
            },
        )
    lets_negative = {"lets the negative through, not the positive": lambda x, dy: dy * (x < 0)}
    yield Case("relu", (x,), told=f"x {x.shape} random", mistakes={"dx": lets_negative})
    yield Case("sigmoid", (np.array([-800.0, 0.0, 800.0]),), told="x = -800, 0 and 800")


def weight_outside(params, x, eps, dy):
    x_hat, inv_std = normed(x, eps)
    return params["weight"] * inv_std * without(dy, x_hat)


def no_weight(params, x, eps, dy):
    x_hat, inv_std = normed(x, eps)
    return inv_std * without(dy, x_hat)


def by_x(params, x, eps, dy):
    return (dy * x).sum(axis=(0, 1))


def unbiased(params, x, eps, dy):
    x_hat, _ = normed(x, eps, 1)
    return params["weight"] * x_hat + params["bias"]


def eps_outside(params, x, eps, dy):
    std = x.std(axis=-1, keepdims=True)
    return params["weight"] * (x - x.mean(axis=-1, keepdims=True)) / (std + eps) + params["bias"]


def parts_of_layer_norm(params, x, eps, dy):
    x_hat, inv_std = normed(x, eps)
    dx_hat = dy * params["weight"]
    mean, along = dx_hat.mean(-1, keepdims=True), (dx_hat * x_hat).mean(-1, keepdims=True)
    return {
        "x_hat": x_hat,
        "dx_hat": dx_hat,
        "dx_hat * inv_std (no mean taken off)": dx_hat * inv_std,
        "inv_std, one number a row": inv_std,
        "the part along ones, -inv_std * mean(dx_hat)": -inv_std * mean,
        "the part along x_hat, -inv_std * x_hat * mean(dx_hat * x_hat)": -inv_std * along * x_hat,
    }


def layer_norm_cases(rng):
    mistakes = {
        "y": {
            "divides the variance by H - 1: it is the mean of H squares": unbiased,
            "adds eps to the standard deviation: it belongs to the variance": eps_outside,
        },
        "dx": {
            "multiplies by weight at the end: dx_hat = dy * weight comes first, before the "
            "means are taken": weight_outside,
            "forgets the weight: y = weight * x_hat + bias, so dx_hat = dy * weight": no_weight,
        },
        "dparams.weight": {"sums dy * x: what weight multiplies is x_hat": by_x},
    }
    for eps in (0.5, 1e-12):
        x = 2 * rng.standard_normal((B, T, H)) + 3
        yield Case(
            "layer_norm",
            (norm_params(rng, H), x, eps),
            told=f"x (B, T, H) = {x.shape}, weight and bias random, eps = {eps}",
            factors=ROWS | {"H": H, "sqrt(H)": math.sqrt(H)},
            known=parts_of_layer_norm,
            mistakes=mistakes,
        )
    for shape in ((H,), (B, N, T, H)):
        arguments = norm_params(rng, H), rng.standard_normal(shape), 1e-5
        yield Case("layer_norm", arguments, told=f"x {shape}, eps = 1e-5")


def normed(x, eps, less=0):
    """x_hat and inv_std, with H - less in the variance."""
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centered).sum(axis=-1, keepdims=True) / (x.shape[-1] - less)
    inv_std = 1 / np.sqrt(variance + eps)
    return centered * inv_std, inv_std


def without(dx_hat, x_hat):
    """dx_hat without its parts along 1 and along x_hat."""
    along = (dx_hat * x_hat).mean(axis=-1, keepdims=True)
    return dx_hat - dx_hat.mean(axis=-1, keepdims=True) - x_hat * along
