"""Draws the saved results: python benchmarks/plot.py writes benchmarks/results/*.png."""

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from common import RESULTS

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"  # Okabe & Ito: distinct for the colour-blind


def local_search(rows) -> None:
    """Microseconds a local search, by problem and method."""
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    figure, axes = plt.subplots(1, len(problems), figsize=(3.2 * len(problems), 2.9), layout="constrained")
    for axis, problem in zip(np.atleast_1d(axes), problems, strict=True):
        mine = [row for row in rows if row["problem"] == problem][::-1]
        colours = [BLUE if row["method"] == "jaxglobal" else GREY for row in mine]
        bars = axis.barh([row["method"] for row in mine], [row["us"] for row in mine], color=colours)
        axis.bar_label(
            bars,
            [f"{row['us']:,.0f}" if row["us"] >= 100 else f"{row['us']:.3g}" for row in mine],
            padding=3,
            fontsize=8,
        )
        axis.set(xscale="log", title=problem)
        axis.set_xlim(right=12 * max(row["us"] for row in mine))
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("microseconds a local search, two CPU cores, float64 (log scale)")
    figure.savefig(RESULTS / "local_search.png", dpi=110)


def classic(rows) -> None:
    """Run time to the default stop, by function."""
    rows = [row for row in rows if "shifted" in row]
    names = list(dict.fromkeys(row["problem"] for row in rows))[::-1]
    figure, axis = plt.subplots(figsize=(7, 4.4), layout="constrained")
    for shifted, colour, offset in ((False, BLUE, 0.2), (True, ORANGE, -0.2)):
        mine = {row["problem"]: row for row in rows if row["shifted"] is shifted}
        places = np.arange(len(names)) + offset
        label = "box shifted off the grid" if shifted else "box of the published run"
        axis.barh(places, [1e3 * mine[name]["seconds"] for name in names], 0.38, color=colour, label=label)
    axis.set_yticks(range(len(names)), names)
    axis.set(xscale="log", xlabel="milliseconds of run time to the default stop (log scale)")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "classic.png", dpi=110)


def bounded(rows) -> None:
    """Final values of one local search against SciPy's."""
    figure, axis = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    scale = [1 + abs(row["scipy"]) for row in rows]
    gap = [(row["jaxglobal"] - row["scipy"]) / s for row, s in zip(rows, scale, strict=True)]
    axis.scatter([row["n"] for row in rows], gap, s=22, color=[BLUE if row["good"] else ORANGE for row in rows])
    axis.set(yscale="symlog", xscale="log", xlabel="variables", ylabel="(jaxglobal - SciPy) / (1 + |SciPy|)")
    axis.set_yscale("symlog", linthresh=1e-9)
    axis.axhline(0, color=GREY, lw=0.8)
    axis.set_title("one search from the given start; below 0 is better", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "bounded.png", dpi=110)


def main() -> None:
    for draw in (local_search, classic, bounded):
        path = RESULTS / f"{draw.__name__}.json"
        if path.exists():
            draw(json.loads(path.read_text())["rows"])
            print(f"drew {path.with_suffix('.png').relative_to(RESULTS.parent.parent)}")
        else:
            print(f"{path.name} is not there: run benchmarks/{path.stem}.py first")


if __name__ == "__main__":
    main()
