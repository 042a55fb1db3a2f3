"""Optimizers that know whole numbers beside continuous ones, to compare with: values alone, until a budget is spent.

Each takes a function of a flat array, the box, which variables are whole, and a seed. One that ends by itself is
started anew, with another seed or a larger population as its authors propose, until the function raises `Spent`.
Settings are the defaults, except: no limit on iterations, no polish, a first step of a fifth of the box for pycma, and
the margin for whole numbers of Optuna's CMA-ES, which has no restarts. `BY_NAME` has those that are installed.
"""

import importlib.util
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

UNLIMITED = 10**9


class Spent(Exception):
    """The budget is spent, or the minimum found."""


class Watched:
    """A function that notes its best value after so many calls, and ends the last budget by `Spent`.

    Attributes:
        best: the best value within each budget, in values.
    """

    def __init__(self, fun: Callable[[np.ndarray], Any], whole: np.ndarray, budgets: list[int], enough: float):
        """enough: a value below which nothing more is asked for."""
        self._fun, self._whole, self._budgets, self._enough = fun, whole, budgets, enough
        self._calls, self.best = 0, dict.fromkeys(budgets, np.inf)

    def __call__(self, x: Any) -> float:
        if self._calls >= max(self._budgets) or self.best[max(self._budgets)] < self._enough:
            raise Spent
        x = np.asarray(x, float)
        if np.any(self._whole & (x != np.rint(x))):
            raise ValueError(f"A whole number was expected; got {x}.")
        self._calls += 1
        f = float(self._fun(x))
        for budget in self._budgets:
            if self._calls <= budget:
                self.best[budget] = min(self.best[budget], f)
        return f


def differential_evolution(fun: Watched, box: np.ndarray, whole: np.ndarray, seed: int) -> None:
    """SciPy's, with `integrality`."""
    from scipy.optimize import differential_evolution

    for run in itertools.count():
        differential_evolution(
            fun, box, integrality=whole, maxiter=UNLIMITED, rng=seed + 1000 * run, polish=False, tol=0, atol=0
        )


def pycma(fun: Watched, box: np.ndarray, whole: np.ndarray, seed: int) -> None:
    """BIPOP-CMA-ES with `integer_variables`, from uniform points."""
    import cma

    rng = np.random.default_rng(seed)
    low, high = box.T
    low, high = np.where(whole, np.ceil(low), low), np.where(whole, np.floor(high), high)
    half = np.where(whole, 0.5, 0.0)  # so that each whole number has the same share of the box
    told = {"bounds": [list(low - half), list(high + half)], "integer_variables": list(np.flatnonzero(whole))}
    for run in itertools.count():
        cma.fmin2(
            lambda x: fun(np.where(whole, np.clip(np.rint(x), low, high), x)), lambda: rng.uniform(low, high),
            0.2 * float(np.max(high - low)), told | {"seed": seed + 1000 * run + 1, "verbose": -9},
            restarts=9, bipop=True,
        )  # fmt: skip


def optuna_study(sampler: Any, fun: Watched, box: np.ndarray, whole: np.ndarray) -> None:
    """A study of that sampler."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def trial_value(trial: Any) -> float:
        return fun(
            [
                trial.suggest_int(str(i), int(np.ceil(a)), int(np.floor(b))) if is_whole
                else trial.suggest_float(str(i), a, b)
                for i, ((a, b), is_whole) in enumerate(zip(box, whole, strict=True))
            ]
        )  # fmt: skip

    optuna.create_study(sampler=sampler).optimize(trial_value)


def optuna_cma(fun: Watched, box: np.ndarray, whole: np.ndarray, seed: int) -> None:
    """Optuna's CMA-ES with margin."""
    import optuna

    optuna_study(optuna.samplers.CmaEsSampler(seed=seed, with_margin=True), fun, box, whole)


def optuna_tpe(fun: Watched, box: np.ndarray, whole: np.ndarray, seed: int) -> None:
    """Optuna's tree-structured Parzen estimator."""
    import optuna

    optuna_study(optuna.samplers.TPESampler(seed=seed), fun, box, whole)


PEERS = {
    "differential_evolution": (differential_evolution, "scipy"),
    "pycma": (pycma, "cma"),
    "optuna_cma": (optuna_cma, "cmaes"),
    "optuna_tpe": (optuna_tpe, "optuna"),
}
BY_NAME = {name: peer for name, (peer, package) in PEERS.items() if importlib.util.find_spec(package)}
SLOW = ("optuna_cma", "optuna_tpe")  # for which the first budget alone is affordable


def run(name: str, fun: Watched, box: Any, whole: np.ndarray, seed: int) -> None:
    """Until the budget is spent; a failure of the optimizer's own ends it with what it has found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            BY_NAME[name](fun, np.asarray(box, float), whole, seed)
        except Spent:
            pass
