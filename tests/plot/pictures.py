"""Writes the pictures of test_plot.py for a person to look at: python tests/plot/pictures.py FOLDER."""

import pathlib
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from test_plot import NAMES, draw
from test_plot import pictures as fixture

if __name__ == "__main__":
    made = fixture.__wrapped__() if hasattr(fixture, "__wrapped__") else fixture.__pytest_wrapped__.obj()
    for style in ("default", "dark_background"):
        with plt.style.context(style):
            figure, axes = plt.subplots(3, 4, figsize=(20, 13), layout="constrained")
            for name, ax in zip(NAMES, axes.flat, strict=False):
                draw(name, made, ax)
            figure.savefig(pathlib.Path(sys.argv[1]) / f"pictures_{style}.png", dpi=70)
