"""The table of proofs: python benchmarks/certify.py [NAMES] [--max-time 120] [--cores 1] [--save] [--saved].

For each problem: whether the bound is proven and all minimisers are found, the gap, boxes, and seconds from the traced
function and the known minimum to the certificate; the search for the minimum and the trace come before. Names may be
patterns, "classic/*". The processor's own seconds (all processes) are the second figure: on a machine that others use
they say more.
"""

import argparse
import fnmatch
import resource
import time

import jax

jax.config.update("jax_enable_x64", True)

import cec2006
import jax.numpy as jnp
import numpy as np
from common import Ledger, code

import jaxglobal as jg
from jaxglobal.proof.branch import Search
from jaxglobal.proof.crew import cores
from jaxglobal.proof.gather import minimizers
from jaxglobal.proof.problem import Problem

# ------------------------------------------------------------------ functions of any number of variables


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rastrigin(x):
    return 10 * x.size + jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x))


def ackley(x):
    waves = jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * x)))
    return 20 + jnp.e - 20 * jnp.exp(-0.2 * jnp.sqrt(jnp.mean(x**2))) - waves


def griewank(x):
    return 1 + jnp.sum(x**2) / 4000 - jnp.prod(jnp.cos(x / jnp.sqrt(jnp.arange(1.0, x.size + 1))))


def levy(x):
    w = 1 + (x - 1) / 4
    first, last = jnp.sin(jnp.pi * w[0]) ** 2, (w[-1] - 1) ** 2 * (1 + jnp.sin(2 * jnp.pi * w[-1]) ** 2)
    return first + last + jnp.sum((w[:-1] - 1) ** 2 * (1 + 10 * jnp.sin(jnp.pi * w[:-1] + 1) ** 2))


def schwefel(x):
    return 418.9828872724339 * x.size - jnp.sum(x * jnp.sin(jnp.sqrt(jnp.abs(x))))


def michalewicz(x):
    return -jnp.sum(jnp.sin(x) * jnp.sin(jnp.arange(1.0, x.size + 1) * x**2 / jnp.pi) ** 20)


def styblinski(x):
    return jnp.sum(x**4 - 16 * x**2 + 5 * x) / 2


def spring(x):
    """Belegundu's deflected corrugated spring."""
    d = jnp.sum((x - 5) ** 2)
    return 0.1 * d - jnp.cos(5 * jnp.sqrt(d))


def cosines(x):
    """Breiman and Cutler's cosine mixture."""
    return jnp.sum(x**2) - 0.1 * jnp.sum(jnp.cos(5 * jnp.pi * x))


def trigonometric(x):
    """Fu's."""
    d = (x - 0.9) ** 2
    return 1 + jnp.sum(8 * jnp.sin(7 * d) ** 2 + 6 * jnp.sin(14 * d) ** 2 + d)


def salomon(x):
    r = jnp.sqrt(jnp.sum(x**2))
    return 1 - jnp.cos(2 * jnp.pi * r) + 0.1 * r


def sinusoidal(x):
    """Zabinsky's, in degrees."""
    a = (x - 30) * (jnp.pi / 180)
    return -(2.5 * jnp.prod(jnp.sin(a)) + jnp.prod(jnp.sin(5 * a)))


STYBLINSKI = -2.903534027771177
RECORD = {  # function, box off the centre, and one coordinate of the known minimiser
    "ackley": (ackley, (-35, 40), 0.0), "spring": (spring, (-1, 12), 5.0), "cosines": (cosines, (-1, 1.2), 0.0),
    "trigonometric": (trigonometric, (-500, 600), 0.9), "griewank": (griewank, (-500, 600), 0.0),
    "levy": (levy, (-10, 10), 1.0), "rastrigin": (rastrigin, (-4, 5.12), 0.0), "salomon": (salomon, (-90, 110), 0.0),
    "styblinski": (styblinski, (-5, 5), STYBLINSKI), "sinusoidal": (sinusoidal, (0, 180), 120.0),
    "rosenbrock": (rosenbrock, (-30, 30), 1.0),
}  # fmt: skip


def rotated(fun, n):
    """With coupled variables, and the minimum off the centre."""
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))
    shift = np.random.default_rng(1).uniform(-1, 1, n)
    return lambda x: fun(q @ (x - shift))


# ------------------------------------------------------------------ functions of few variables


def goldstein_price(x):
    a, b = x
    left = 19 - 14 * a + 3 * a**2 - 14 * b + 6 * a * b + 3 * b**2
    right = 18 - 32 * a + 12 * a**2 + 48 * b - 36 * a * b + 27 * b**2
    return (1 + (a + b + 1) ** 2 * left) * (30 + (2 * a - 3 * b) ** 2 * right)


HARTMANN = (
    np.array([1, 1.2, 3, 3.2]),
    np.array([
        [10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14],
    ]),
    1e-4
    * np.array([
        [1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381],
    ]),
)  # fmt: skip
HOLES = np.array([
    [4, 4, 4, 4], [1, 1, 1, 1], [8, 8, 8, 8], [6, 6, 6, 6], [3, 7, 3, 7],
    [2, 9, 2, 9], [5, 5, 3, 3], [8, 1, 8, 1], [6, 2, 6, 2], [7, 3.6, 7, 3.6],
])  # fmt: skip
DEPTHS = np.array([1, 2, 2, 4, 4, 6, 3, 7, 5, 5]) / 10


def hartmann6(x):
    heights, slopes, places = HARTMANN
    return -jnp.sum(heights * jnp.exp(-jnp.sum(slopes * (x - places) ** 2, axis=1)))


def shekel(m):
    return lambda x: -jnp.sum(1 / (jnp.sum((x - HOLES[:m]) ** 2, axis=1) + DEPTHS[:m]))


def lennard_jones(n):
    """A cluster of n atoms without its free motions: one at the origin, one on an axis, one in a plane."""

    def fun(x):
        z = jnp.zeros(())
        atoms = [
            (z, z, z),
            (x[0], z, z),
            (x[1], x[2], z),
            *((x[k], x[k + 1], x[k + 2]) for k in range(3, 3 * n - 6, 3)),
        ]
        pairs = [sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for i, p in enumerate(atoms) for q in atoms[:i]]
        inverse = [1 / r**3 for r in pairs]
        return sum(4 * (u * u - u) for u in inverse)

    return fun, [(0.5, 3), (-3, 3), (0, 3)] + [(-3, 3)] * (3 * n - 9)


# ------------------------------------------------------------------ fits

T = np.linspace(0, 4, 40)
NOISE = np.random.default_rng(1).standard_normal(40)
DECAY = 3 * np.exp(-1.3 * T) + 0.7 + 0.1 * NOISE
OUTLIERS = DECAY + 3.0 * (np.arange(40) % 9 == 0)
DECAYS = 2 * np.exp(-0.5 * T) + 3 * np.exp(-3 * T) + 0.02 * NOISE


def one_decay(p):
    return jnp.sum((p[0] * jnp.exp(-p[1] * T) + p[2] - DECAY) ** 2)


def two_decays(p):
    return jnp.sum((p[0] * jnp.exp(-p[1] * T) + p[2] * jnp.exp(-p[3] * T) - DECAYS) ** 2)


def robust_decay(p):
    r = p[0] * jnp.exp(-p[1] * T) + p[2] - OUTLIERS
    a = jnp.abs(r)
    return jnp.sum(jnp.where(a < 0.3, 0.5 * r * r, 0.3 * (a - 0.15)))


def oscillation():
    """Six parameters, 200 points."""
    t = np.linspace(0, 4, 200)
    model = lambda p: p[0] * jnp.exp(-p[1] * t) * jnp.cos(p[2] * t + p[3]) + p[4] * jnp.exp(-p[5] * t)  # noqa: E731
    y = np.asarray(model(np.array([2.0, 0.5, 5.0, 0.3, 1.0, 1.5]))) + 0.05 * np.random.default_rng(0).standard_normal(
        200
    )
    return (lambda p: jnp.sum((model(p) - y) ** 2)), [(0, 4), (0, 3), (0, 10), (-3.2, 3.2), (0, 4), (0, 3)]


def diode():
    """The solar cell of RTC France, T. Easwarakhanthan et al., Int. J. Solar Energy 4 (1986)."""
    v = np.array([
        -0.2057, -0.1291, -0.0588, 0.0057, 0.0646, 0.1185, 0.1678, 0.2132, 0.2545, 0.2924, 0.3269, 0.3585, 0.3873,
        0.4137, 0.4373, 0.4590, 0.4784, 0.4960, 0.5119, 0.5265, 0.5398, 0.5521, 0.5633, 0.5736, 0.5833, 0.5900,
    ])  # fmt: skip
    i = np.array([
        0.7640, 0.7620, 0.7605, 0.7605, 0.7600, 0.7590, 0.7570, 0.7570, 0.7555, 0.7540, 0.7505, 0.7465, 0.7385,
        0.7280, 0.7065, 0.6755, 0.6320, 0.5730, 0.4990, 0.4130, 0.3165, 0.2120, 0.1035, -0.0100, -0.1230, -0.2100,
    ])  # fmt: skip
    thermal = 1.380649e-23 * 306.15 / 1.602176634e-19

    def fun(p):
        w = v + i * p[3]
        return jnp.sum((p[0] - 1e-6 * p[1] * (jnp.exp(w / (p[2] * thermal)) - 1) - w / p[4] - i) ** 2)

    return fun, [(0, 1), (0, 1), (1, 2), (0, 0.5), (1, 100)]


def logistic_growth():
    """Rate, capacity and start of an ODE: twenty steps of Runge and Kutta in a scan."""

    def simulate(p):
        def step(x, _):
            slope, h = lambda x: p[0] * x * (1 - x / p[1]), 0.25
            a = slope(x)
            b = slope(x + h / 2 * a)
            c = slope(x + h / 2 * b)
            x = x + h / 6 * (a + 2 * b + 2 * c + slope(x + h * c))
            return x, x

        return jax.lax.scan(step, p[2], None, length=20)[1]

    y = np.asarray(simulate(jnp.array([0.9, 5.0, 0.4]))) + 0.1 * np.random.default_rng(3).standard_normal(20)
    return (lambda p: jnp.sum((simulate(p) - y) ** 2)), [(0.1, 2), (1, 10), (0.1, 1)]


def network():
    """Two hidden units, six weights, thirty points."""
    t = np.linspace(-2, 2, 30)
    y = np.sin(2 * t) + 0.05 * np.random.default_rng(2).standard_normal(30)
    fun = lambda p: jnp.sum((jnp.tanh(t[:, None] * p[:2] + p[2:4]) @ p[4:] - y) ** 2)  # noqa: E731
    return fun, [(0, 4)] * 2 + [(-4, 4)] * 4


# ------------------------------------------------------------------ the table


def problems():
    """Name: function, bounds, known point or None, seconds asked for, and constraints if there are any."""
    out = {f"classic/{p.name}": (p.fun, p.bounds, np.array(p.minimizers[0], float), 0.2) for p in jg.problems.classic}
    out["goldstein-price"] = (goldstein_price, [(-2, 2)] * 2, np.array([0.0, -1.0]), 0.2)
    out["hartmann6"] = (hartmann6, [(0, 1)] * 6, None, 0.2)
    out |= {f"shekel{m}": (shekel(m), [(0, 10)] * 4, np.full(4, 4.0), 0.2) for m in (5, 7, 10)}
    turned = {rosenbrock: (5, 1.5), rastrigin: (5.12, 2), ackley: (30, 8), griewank: (600, 8), levy: (10, 6)}
    for n in (5, 10):
        q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))
        shift = np.random.default_rng(1).uniform(-1, 1, n)
        for fun, (side, seconds) in turned.items():
            inner = np.full(n, 1.0 if fun in (rosenbrock, levy) else 0.0)
            known = shift + q.T @ inner
            out[f"rotated-{fun.__name__}-{n}"] = (
                rotated(fun, n),
                [(-side, side)] * n,
                known,
                0.2 if n == 5 else seconds,
            )
    for n, seconds in ((50, 1), (1000, 1), (10_000, 10)):
        for name, (fun, box, at) in RECORD.items():
            out[f"record/{name}-{n}"] = (fun, [box] * n, np.full(n, at), seconds)
    out["schwefel-10"] = (schwefel, [(-500, 500)] * 10, np.full(10, 420.968746), 4)
    out["michalewicz-10"] = (michalewicz, [(0, np.pi)] * 10, None, 0.5)
    decay = [(0, 10), (0, 5), (-5, 5)]
    out["fit: one decay"] = (one_decay, decay, None, 0.1)
    out["fit: two decays"] = (two_decays, [(0, 5), (0, 1.2), (0, 5), (1.2, 6)], None, 0.2)
    out["fit: diode"] = (*diode(), None, 2)
    out["fit: oscillation"] = (*oscillation(), None, 10)
    out["fit: robust, by where"] = (robust_decay, decay, None, 2)
    out |= {f"lennard-jones-{n}": (*lennard_jones(n), None, seconds) for n, seconds in ((3, 0.1), (4, 0.4))}
    out["ode"] = (*logistic_growth(), None, 20)
    out["network"] = (*network(), None, 25)
    for name in ("g01", "g04", "g05", "g06", "g08", "g11", "g12", "g15", "g24"):
        p = cec2006.PROBLEMS[name]
        rows = jg.Constraint(p.rows, p.lower, p.upper)
        out[f"cec2006/{name}"] = (p.fun, list(zip(*p.box, strict=True)), p.published, 5, rows)
    return out


def spent():
    """The processor's seconds of this process and of those that have ended."""
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


FORM = "| {:24} | {:>8} | {:>8} | {:>9} | {:>7} | {:>5} | {:>8} | {:>8} | {:>6} |"
HEAD = ("problem", "proven", "gap", "boxes", "minima", "cores", "seconds", "cpu", "asked")


def proof(fun, bounds, point, asked, constraints, max_time, workers):
    """The row of one proof."""
    points = [point]
    if point is None:
        found = jg.minimize(fun, bounds, max_time=30, progress=False)
        points = [found.x, *(m.x for m in found.minima[:8] if m.fun < found.fun + 1e-6 * (1 + abs(found.fun)))]
    problem = Problem.read(fun, bounds, (), *constraints)
    began, before = time.perf_counter(), spent()
    with np.errstate(all="ignore"):
        search = Search(problem.model, problem.low, problem.high, points, 1e-8)
        search.run(lambda: "max_time" if time.perf_counter() - began > max_time else "", workers if workers > 1 else 0)
        seconds, cpu = time.perf_counter() - began, spent() - before
        boxes = minimizers(search)
    gap = search.cut - search.lower
    return {
        "proven": bool(gap <= 1e-8 * (1 + abs(search.cut))), "cut": not search.done, "gap": float(gap),
        "boxes": search.boxes, "unique": sum(b.unique for b in boxes), "minima": len(boxes), "cores": workers,
        "seconds": round(seconds, 3), "cpu": round(cpu, 3), "asked": asked,
    }  # fmt: skip


def line(name, row):
    """A row of the table."""
    state = ("yes" if row["proven"] else "no") + (", cut" if row["cut"] else "")
    minima, times = f"{row['unique']} of {row['minima']}", (f"{row['seconds']:.2f}", f"{row['cpu']:.2f}")
    return FORM.format(name, state, f"{row['gap']:.1e}", row["boxes"], minima, row["cores"], *times, row["asked"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["*"])
    parser.add_argument("--max-time", type=float, default=120.0)
    parser.add_argument("--cores", type=int, default=None, help="by default all of this process")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--save", action="store_true", help="in results/certify.json, beside the rows of other runs")
    parser.add_argument("--saved", action="store_true", help="prints the saved rows")
    options = parser.parse_args()
    print(FORM.format(*HEAD))
    if options.markdown:
        print(FORM.format(*["---"] * len(HEAD)))
    ledger, workers = Ledger("certify", ("problem", "cores")), options.cores or cores()
    for name, (fun, bounds, point, asked, *constraints) in problems().items():
        if not any(fnmatch.fnmatch(name, pattern) for pattern in options.names):
            continue
        if options.saved:
            for row in (row for key, row in sorted(ledger.rows.items()) if key[0] == name):
                print(line(name, row))
            continue
        row = proof(fun, bounds, point, asked, constraints, options.max_time, workers)
        print(line(name, row), flush=True)
        if options.save:
            ledger.add(problem=name, **row, code=code())


if __name__ == "__main__":
    main()
