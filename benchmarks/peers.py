"""Global optimizers to compare with, on one objective that counts what they ask for and stops them.

Each takes a `Counted` objective, the box and a seed. An optimizer that ends by itself before its budget is spent is
started anew, with another seed, a larger population or a finer sampling as its authors propose, until the objective
raises `Stop`; one that has nothing new to try returns.

Settings are the defaults, except: no limit on iterations, tolerances that end a run early are off where the run cannot
be started anew, gradients for whatever takes gradients, and a first step of a fifth of the box for CMA-ES.
"""

import functools
import itertools
import math
from typing import Any

import numpy as np
from counted import Counted, Stop, clocks

UNLIMITED = 10**9


def differential_evolution(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """SciPy's, gradient-free, without its final polish."""
    from scipy.optimize import differential_evolution

    for run in itertools.count():
        differential_evolution(objective.value, bounds, rng=seed + 1000 * run, maxiter=UNLIMITED, polish=False)


def dual_annealing(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """SciPy's, its local searches L-BFGS-B with gradients."""
    from scipy.optimize import dual_annealing

    local = {"method": "L-BFGS-B", "jac": objective.gradient, "bounds": bounds}
    for run in itertools.count():
        dual_annealing(objective.value, bounds, rng=seed + 1000 * run, maxfun=UNLIMITED, minimizer_kwargs=local)


def shgo(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """SciPy's, simplicial sampling of 100, 200, 400, ... points, local searches L-BFGS-B with gradients."""
    from scipy.optimize import shgo

    local = {"method": "L-BFGS-B", "jac": objective.gradient, "bounds": bounds}
    for run in itertools.count():
        shgo(objective.value, bounds, n=100 * 2**run, minimizer_kwargs=local)


def direct(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """SciPy's DIRECT_L, gradient-free, until its cells are as small as it can tell apart."""
    from scipy.optimize import direct

    direct(objective.value, list(bounds), maxfun=10**6, maxiter=10**6, vol_tol=0.0, len_tol=0.0)


def basinhopping(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """SciPy's, from a uniform point, L-BFGS-B with gradients; hops out of the box are refused."""
    from scipy.optimize import basinhopping

    rng = np.random.default_rng(seed)
    low, high = bounds.T
    local = {"method": "L-BFGS-B", "jac": True, "bounds": bounds}

    def inside(x_new, **_):
        return bool(np.all((x_new >= low) & (x_new <= high)))

    basinhopping(
        objective.value_and_grad, rng.uniform(low, high), niter=UNLIMITED, minimizer_kwargs=local, accept_test=inside,
        rng=rng,
    )  # fmt: skip


def sobol_multistart(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """L-BFGS-B with gradients from the points of a scrambled Sobol sequence."""
    from scipy.optimize import minimize
    from scipy.stats import qmc

    low, high = bounds.T
    sequence = qmc.Sobol(len(bounds), rng=seed)
    while True:
        for u in sequence.random(64):
            x = low + (high - low) * u
            minimize(objective.value_and_grad, x, jac=True, bounds=bounds, method="L-BFGS-B")


def nlopt_run(algorithm: str, local: str | None, objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """An NLopt algorithm from a uniform point, started anew when it ends."""
    import nlopt

    def function(x, gradient):
        try:
            if not gradient.size:
                return objective.value(x)
            f, gradient[:] = objective.value_and_grad(x)
            return f
        except Stop:  # ends a local search alone, unless the global one is told too
            search.force_stop()
            raise

    rng = np.random.default_rng(seed)
    low, high = bounds.T
    for run in itertools.count():
        nlopt.srand(seed + 1000 * run + 1)
        search = nlopt.opt(getattr(nlopt, algorithm), len(bounds))
        search.set_lower_bounds(low)
        search.set_upper_bounds(high)
        search.set_min_objective(function)
        search.set_maxeval(UNLIMITED)
        if local is not None:
            inner = nlopt.opt(getattr(nlopt, local), len(bounds))
            inner.set_ftol_rel(1e-12)
            inner.set_xtol_rel(1e-10)
            search.set_local_optimizer(inner)
        else:
            search.set_ftol_abs(1e-12)
            search.set_xtol_abs(1e-12)
        try:
            search.optimize(rng.uniform(low, high))
        except nlopt.ForcedStop:  # NLopt's word for an exception of the function, which is lost
            if objective.stopped == "ended":
                raise
            raise Stop from None
        except (nlopt.RoundoffLimited, nlopt.runtime_error):  # its local search has failed
            continue


def mlsl(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """NLopt's MLSL on low-discrepancy points, with its L-BFGS."""
    nlopt_run("G_MLSL_LDS", "LD_LBFGS", objective, bounds, seed)


def crs2(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """NLopt's controlled random search with local mutation, gradient-free."""
    nlopt_run("GN_CRS2_LM", None, objective, bounds, seed)


def pycma_bipop(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """pycma's BIPOP-CMA-ES: restarts of a doubled population and of small ones in turn, from uniform points."""
    import cma

    rng = np.random.default_rng(seed)
    low, high = bounds.T
    for run in itertools.count():
        options = {
            "bounds": [list(low), list(high)],
            "seed": seed + 1000 * run + 1,
            "verbose": -9,
            "maxfevals": UNLIMITED,
        }
        cma.fmin2(
            None, lambda: rng.uniform(low, high), 0.2 * float(np.max(high - low)), options, restarts=9, bipop=True,
            parallel_objective=lambda xs: list(objective.values(xs)),
        )  # fmt: skip


@functools.cache
def evosax_generation(popsize: int, n: int) -> tuple[Any, Any, Any]:
    """evosax's CMA-ES, compiled: begin(key, x, sigma), ask(state, key), tell(state, key, xs, values)."""
    import jax
    import jax.numpy as jnp
    from evosax.algorithms import CMA_ES

    search = CMA_ES(population_size=popsize, solution=jnp.zeros(n))
    params = search.default_params

    @jax.jit
    def begin(key, x, sigma):
        return search.init(key, x, params.replace(std_init=sigma))

    @jax.jit
    def ask(state, key):
        key, asked, told = jax.random.split(key, 3)
        xs, state = search.ask(asked, state, params)
        return state, key, told, xs

    @jax.jit
    def tell(state, key, xs, values):
        state, _ = search.tell(key, xs, values, state, params)
        return state, state.std * jnp.max(state.D)

    key = jax.random.key(0)
    state = begin(key, np.zeros(n), 1.0)
    for _ in range(3):  # types of the state are settled after the first
        state, key, told, xs = ask(state, key)
        state, step = tell(state, told, xs, np.zeros(popsize))
        step.block_until_ready()
    return begin, ask, tell


def evosax_cma(objective: Counted, bounds: np.ndarray, seed: int) -> None:
    """evosax's CMA-ES, candidates clipped into the box, started anew with a doubled population when its step is nil.

    evosax has no restarts of its own: a run ends at a step of 1e-12 of the box, or when 100 generations and as many as
    the population has members have brought nothing.
    """
    import jax

    rng = np.random.default_rng(seed)
    low, high = bounds.T
    width, n = float(np.max(high - low)), len(bounds)
    key = jax.random.key(seed)
    for run in itertools.count():
        popsize = (4 + int(3 * np.log(n))) * 2**run
        began = clocks()
        begin, ask, tell = evosax_generation(popsize, n)
        objective.apart += clocks() - began
        state, step = begin(key, rng.uniform(low, high), 0.2 * width), width
        best, since = math.inf, 0
        while since < 100 + popsize and step > 1e-12 * width:
            state, key, told, xs = ask(state, key)
            values = objective.values(np.clip(np.asarray(xs), low, high))
            state, step = tell(state, told, xs, values)
            best, since = (values.min(), 0) if values.min() < best else (best, since + 1)


PEERS = {
    "scipy-de": differential_evolution,
    "scipy-dual-annealing": dual_annealing,
    "scipy-shgo": shgo,
    "scipy-direct": direct,
    "scipy-basinhopping": basinhopping,
    "sobol-lbfgsb": sobol_multistart,
    "nlopt-mlsl": mlsl,
    "nlopt-crs2": crs2,
    "pycma-bipop": pycma_bipop,
    "evosax-cma": evosax_cma,
}
MOST_VARIABLES = {"scipy-shgo": 10}  # its first complex has 2^n corners


def warm(method: str, n: int) -> None:
    """Imports and compiles what the optimizer needs."""
    counted = Counted(
        lambda x: 1.0 + x @ x, lambda x: (1.0 + x @ x, 2 * x), lambda xs: 1.0 + np.sum(xs * xs, axis=1), 500, 60.0
    )
    counted.run(PEERS[method], np.array([(-5.0, 4.0)] * n), 0)
