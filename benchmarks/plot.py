"""Draws the saved results: python benchmarks/plot.py writes benchmarks/results/*.png."""

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import runtimes
from common import RESULTS

import jaxglobal as jg

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"  # Okabe & Ito: distinct for the colour-blind
LABELS = {"starts": "131,072 starts", "default": "to the default stop"}
OTHERS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#666666")


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


def bbob(rows) -> None:
    """Share of the runs solved to 1e-8 against cost and time, by method; a row of pictures for each dimension."""
    free = {row["method"]: row["njev"] == 0 for row in rows}  # without gradients: dashed
    colours = {runtimes.OURS: BLUE}
    for kind in (False, True):
        names = [name for name in runtimes.methods(rows) if free[name] is kind and name != runtimes.OURS]
        colours |= {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(names)}
    dims = sorted({row["n"] for row in rows})
    figure, axes = plt.subplots(len(dims), 3, figsize=(12, 2.9 * len(dims)), layout="constrained", squeeze=False)
    measures = (
        ("cost / D, cost = nfev + njev", lambda row: runtimes.cost(row)),
        ("cost / D, cost = nfev + D njev", lambda row: runtimes.cost(row, pairs=False)),
        ("seconds of run time", lambda row: row["seconds"] if row["stopped"] == "target" else None),
    )
    for line, n in zip(axes, dims, strict=True):
        runs = len({(row["function"], row["instance"]) for row in rows if row["n"] == n})
        for axis, (label, measure) in zip(line, measures, strict=True):
            mine = {method: [row for row in rows if row["n"] == n and row["method"] == method] for method in colours}
            mine = {method: of for method, of in mine.items() if of}
            timed = label.startswith("seconds")
            jg.plot.data_profile(
                {method: [measure(row) or np.inf for row in of] for method, of in mine.items()},
                axis,
                until={m: max(row["seconds"] if timed else 2 * row["factor"] for row in of) for m, of in mine.items()},
                cost=label,
            )
            axis.get_legend().remove()
            for method, curve in zip(mine, axis.get_lines(), strict=True):
                ours = method == runtimes.OURS
                curve.set(color=colours[method], lw=2.6 if ours else 1.2, ls="--" if free[method] else "-", marker="")
                curve.set(zorder=4 if ours else 3, label=method, clip_on=True)
            axis.set(ylabel="", title=f"{n}-D, {runs} runs each")
            axis.set_xlim((1e-3, 100) if timed else (1, 2 * max(row["factor"] for row in rows)))
        line[0].set_ylabel("share of runs solved to 1e-8")
    named = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels()), strict=True))
    order = [name for name in colours if name in named]
    figure.legend([named[name] for name in order], order, loc="outside right center", frameon=False)
    figure.savefig(RESULTS / "bbob.png", dpi=110)


def lennard_jones(rows) -> None:
    """Runs that found the lowest known energy, and their evaluations, by the number of atoms."""
    sizes = sorted({row["size"] for row in rows})
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.6), sharex=True, layout="constrained")
    for place, size in enumerate(sizes):
        mine = [row for row in rows if row["size"] == size]
        found = [row["nfev"] for row in mine if row["found"]]
        bar = above.bar(place, 100 * len(found) / len(mine), color=BLUE)
        above.bar_label(bar, [f"{len(found)}/{len(mine)}"], fontsize=7)
        below.scatter([place] * len(found), found, s=9, color=BLUE)
        if found:
            below.hlines(np.median(found), place - 0.35, place + 0.35, color=ORANGE)
    above.set(ylabel="% of runs", ylim=(0, 112), title="lowest known energy of a Lennard-Jones cluster found")
    below.set(yscale="log", xlabel="atoms", ylabel="evaluations (line: median)")
    below.set_xticks(range(len(sizes)), sizes)
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "lennard_jones.png", dpi=110)


def zeus(rows) -> None:
    """Time of the searches from 131,072 starts, and of the default search, with the error of each."""
    dims = sorted({row["n"] for row in rows})
    figure, axes = plt.subplots(1, len(dims), figsize=(6.4 * len(dims), 3.8), layout="constrained", squeeze=False)
    for axis, n in zip(axes[0], dims, strict=True):
        mine = [row for row in rows if row["n"] == n][::-1]
        names = [f"{row['function']}{', shifted' if row['shifted'] else ''}, {LABELS[row['mode']]}" for row in mine]
        colours = [BLUE if row["mode"] == "default" else GREY for row in mine]
        bars = axis.barh(names, [1e3 * row["seconds"] for row in mine], color=colours)
        axis.bar_label(bars, [f"error {row['error']:.0e}" for row in mine], padding=3, fontsize=7)
        axis.set(xscale="log", title=f"{n}-D")
        times = [1e3 * row["seconds"] for row in mine]
        axis.set_xlim(min(times) / 2, 8 * max(times))
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("milliseconds, compilation apart (log scale)", fontsize=10)
    figure.savefig(RESULTS / "zeus.png", dpi=110)


def evaluations(rows) -> None:
    """Evaluations to the default stop, with default settings and by the plain grid."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for axis, shifted in zip(axes, (False, True), strict=True):
        mine = [row for row in rows if row["shifted"] is shifted][::-1]
        for place, row in enumerate(mine):
            pair = row["grid_nfev"], row["default_nfev"]
            axis.plot(pair, (place, place), color=GREY, lw=1, zorder=0)
            for evaluated, colour, way in zip(pair, (GREY, BLUE), ("grid", "default"), strict=True):
                face = colour if row[f"{way}_found"] else "none"
                label = {"grid": "plain grid", "default": "default settings"}[way] if place == 0 else None
                axis.scatter(evaluated, place, s=28, edgecolors=colour, facecolors=face, label=label)
        axis.set_yticks(range(len(mine)), [row["problem"] for row in mine])
        axis.set_xscale("log")
        axis.set_title("boxes shifted off the grid" if shifted else "boxes of the published run", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("evaluations to the default stop (log scale; hollow: not found)", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(RESULTS / "evaluations.png", dpi=110)


def main() -> None:
    for draw in (local_search, classic, bounded, lennard_jones, zeus, evaluations):
        path = RESULTS / f"{draw.__name__}.json"
        if path.exists():
            draw(json.loads(path.read_text())["rows"])
            print(f"drew {path.with_suffix('.png').relative_to(RESULTS.parent.parent)}")
        else:
            print(f"{path.name} is not there: run benchmarks/{path.stem}.py first")
    if rows := runtimes.comparable(runtimes.read(range(1000))):
        bbob(rows)
        print("drew benchmarks/results/bbob.png")


if __name__ == "__main__":
    main()
