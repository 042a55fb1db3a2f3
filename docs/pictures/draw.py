"""Draws the pictures of the README and of the guide: python docs/pictures/draw.py."""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxglobal as jg

HERE = pathlib.Path(__file__).parent
COLOURS = ("#0072b2", "#56b4e9", "#e69f00", "#009e73")  # Okabe & Ito: distinct for the colour-blind
BOX = [(-4.0, 5.0), (-4.0, 5.0)]


def rugged(x):
    """A broad basin that is wrong, a narrow one that is right, and ripples over both."""
    broad = -1.2 * jnp.exp(-jnp.sum((x - jnp.array([-1.6, 0.9])) ** 2) / 6)
    narrow = -2.2 * jnp.exp(-jnp.sum((x - jnp.array([2.9, 2.2])) ** 2) / 0.5)
    return broad + narrow + 0.12 * jnp.sum(jnp.cos(3 * x))


def problem() -> None:
    """What one local search sees, and what starts of a grid do."""
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 5.1), layout="constrained", sharey=True)
    one = jg.minimize(rugged, BOX, max_levels=1, progress=False)
    whole = jg.minimize(rugged, BOX, progress=False)
    titles = f"one search from the centre: {one.fun:.2f}", f"{whole.nstarts} searches, level by level: {whole.fun:.2f}"
    for axis, result, title in zip(axes, (one, whole), titles, strict=True):
        jg.plot.landscape(result, rugged, bounds=BOX, ax=axis)
        handles, labels = axis.get_legend_handles_labels()
        axis.get_legend().remove()
        axis.set_title(title)
        axis.set(xlabel="", ylabel="", aspect="equal")
    for bar in set(figure.axes) - set(axes):
        bar.remove()  # the colours are told in a sentence
    for best in [artist for artist in axes[0].get_children() if artist.get_label() == "best minimum"]:
        best.remove()  # of one search, which is drawn as any local minimum
    centre = np.mean(BOX, axis=1)
    axes[0].annotate("", one.x, centre, arrowprops={"arrowstyle": "->", "color": "white", "shrinkA": 6, "shrinkB": 6})
    axes[0].plot(*one.x, "o", ms=6, mfc=COLOURS[1], mec="black", mew=0.8)
    figure.legend(
        handles[:3], ["starts", *labels[1:3]], loc="outside lower center", ncols=3, frameon=False,
        title="dark is low; lines divide the basins of the minima",
    )  # fmt: skip
    figure.savefig(HERE / "problem.png", dpi=100)


def levels() -> None:
    """The starts of the first levels of a grid."""
    figure, axes = plt.subplots(1, 4, figsize=(8.6, 2.4), layout="constrained", sharey=True)
    side = np.linspace(*BOX[0], 300)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    values = np.asarray(jax.vmap(rugged)(points)).reshape(300, 300)
    for level, axis in enumerate(axes):
        axis.imshow(values, extent=(*BOX[0], *BOX[1]), origin="lower", cmap="cividis")
        unit = jg.Grid().points(level, 0, 4**level, 2)
        axis.plot(*(BOX[0][0] + 9 * unit).T, "w+", ms=5)
        axis.set(xticks=[], yticks=[], title=f"level {level}: {4**level} start{'s' * (level > 0)}")
    figure.savefig(HERE / "levels.png", dpi=100)


def lanes() -> None:
    """Searches of different length, in batches that wait for the slowest, and in lanes that are refilled."""
    rng = np.random.default_rng(1)
    options = dict(max_starts=1, starts=jg.Grid(), progress=False)
    starts = rng.uniform(-2, 2, (48, 2))
    lengths = [jg.minimize(jg.problems.rosenbrock, [(-2, 2)] * 2, x0=x, **options).nfev for x in starts]
    figure, axes = plt.subplots(2, 1, figsize=(8.6, 4.2), layout="constrained", sharex=True)
    batched, free = np.zeros(8), np.zeros(8)
    for i, length in enumerate(lengths):
        if i % 8 == 0:
            batched[:] = np.max(batched)
        for axis, ends, lane in ((axes[0], batched, i % 8), (axes[1], free, int(np.argmin(free)))):
            axis.barh(lane, length - 0.6, left=ends[lane], height=0.8, color=COLOURS[i % len(COLOURS)])
            ends[lane] += length
    axes[0].set_title(f"a vmap of whole searches: six batches, {np.max(batched):.0f} steps")
    axes[1].set_title(f"lanes that are refilled: {np.max(free):.0f} steps")
    axes[1].set_xlabel("evaluations one after another; each bar is a local search")
    for axis in axes:
        axis.set(yticks=[], ylabel="8 lanes")
        axis.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(HERE / "lanes.png", dpi=100)


def certificate() -> None:
    """A proof in two variables: every part of the box where it was dropped."""

    def goldstein_price(x):
        a, b = x
        left = 1 + (a + b + 1) ** 2 * (19 - 14 * a + 3 * a**2 - 14 * b + 6 * a * b + 3 * b**2)
        return left * (30 + (2 * a - 3 * b) ** 2 * (18 - 32 * a + 12 * a**2 + 48 * b - 36 * a * b + 27 * b**2))

    figure, axis = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    jg.plot.certificate(jg.certify(goldstein_price, [(-2, 2)] * 2, progress=False), ax=axis)
    figure.savefig(HERE / "certificate.png", dpi=100)


if __name__ == "__main__":
    plt.switch_backend("Agg")
    jax.config.update("jax_enable_x64", True)
    problem()
    levels()
    lanes()
    certificate()
