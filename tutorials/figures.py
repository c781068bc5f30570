"""Figures of the tutorials: one look, readable in grey, with a text for those who see none."""

import io
import sys
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DARK, MIDDLE, LIGHT = "#000000", "#0072b2", "#e69f00"
"""Black, blue and orange: three steps of grey, and told apart by most colour-blind readers."""

STYLE = {
    "axes.prop_cycle": (
        mpl.cycler(color=[DARK, MIDDLE, LIGHT])
        + mpl.cycler(linestyle=["-", "--", "-."])
        + mpl.cycler(marker=["o", "s", "^"])
    ),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.dpi": 110,
    "font.size": 10,
    "lines.markersize": 5,
    "savefig.dpi": 110,
}


def figure(columns: int = 1, width: float = 7.0, height: float = 3.2) -> tuple[Figure, Any]:
    """Make a figure with axes side by side, in inches.

    Returns:
        figure: hand it to show
        axes: one Axes, or an array of them if there are several columns
    """
    with mpl.rc_context(STYLE):
        made = Figure(figsize=(width, height), layout="constrained")
        return made, made.subplots(1, columns)


def matrix(
    axes: Axes, values: Any, title: str, digits: int = 0, largest: float | None = None
) -> None:
    """Draw a matrix as squares with its numbers written in: the darker, the larger in size.

    Args:
        axes: where to draw
        values: (rows, columns)
        title: above it
        digits: after the point
        largest: the size of the darkest square, for matrices that are to be compared
    """
    array = np.asarray(values, dtype=float)
    most = largest or np.abs(array).max() or 1.0
    axes.imshow(np.abs(array), cmap="Greys", vmin=0, vmax=1.6 * most)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(array):
        color = "white" if abs(value) > 0.8 * most else "black"
        text = f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", color=color)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Name an Axes and what its axes measure."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def legend(axes: Axes, place: str = "best") -> None:
    """Name the lines by their labels; place is "upper right" and the like."""
    axes.legend(loc=place, frameon=False)


def png(made: Figure) -> bytes:
    """Draw a figure: the same bytes each time, for they name no program and no date."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        made.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def show(made: Figure, alt: str) -> None:
    """Put a figure into the notebook; where there is no notebook, only draw it.

    Args:
        made: by figure
        alt: what a reader learns from it, for one who cannot see it
    """
    image = png(made)
    kernel = sys.modules.get("IPython")
    if kernel is None or kernel.get_ipython() is None:
        return
    from IPython.display import display

    data = {"image/png": image, "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})
