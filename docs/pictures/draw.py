"""Draws the pictures of the README and of the guide: python docs/pictures/draw.py."""

import pathlib

import jax
import matplotlib

matplotlib.use("Agg")
jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import matplotlib.pyplot as plt

import jaxglobal as jg

HERE = pathlib.Path(__file__).parent
BOX = [(-4.0, 5.0), (-4.0, 5.0)]


def rugged(x):
    """A broad basin that is wrong, a narrow one that is right, and ripples over both."""
    broad = -1.2 * jnp.exp(-jnp.sum((x - jnp.array([-1.6, 0.9])) ** 2) / 6)
    narrow = -2.2 * jnp.exp(-jnp.sum((x - jnp.array([2.9, 2.2])) ** 2) / 0.5)
    return broad + narrow + 0.12 * jnp.sum(jnp.cos(3 * x))


def problem() -> None:
    """What one local search sees, and what starts of a grid do."""
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.25), layout="constrained", sharey=True)
    one = jg.minimize(rugged, BOX, max_levels=1, progress=False)
    whole = jg.minimize(rugged, BOX, progress=False)
    titles = f"one search from the centre: {one.fun:.2f}", f"{whole.nstarts} searches, level by level: {whole.fun:.2f}"
    for axis, result, title in zip(axes, (one, whole), titles, strict=True):
        jg.plot.landscape(result, rugged, bounds=BOX, ax=axis)
        handles, labels = axis.get_legend_handles_labels()
        axis.get_legend().remove()
        axis.set_title(title)
        axis.set(xlabel="", ylabel="", aspect="equal")
    axes[0].set_xlabel("dark is low; lines divide the basins of the minima")
    figure.legend(handles[:3], ["starts", *labels[1:3]], loc="outside lower right", ncols=3, frameon=False)
    figure.savefig(HERE / "problem.png", dpi=100)


if __name__ == "__main__":
    problem()
