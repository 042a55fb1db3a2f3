"""What a fit says: its parameters and how sure they are, other local fits, bands, derivatives; and how it prints."""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal import transfers
from jaxglobal.api.derivative import Derivative, derivative
from jaxglobal.fit import arguments, models, printed, quotients, stored
from jaxglobal.fit.covariance import Errors, error_of_new
from jaxglobal.fit.data import Data
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.units import Units
from jaxglobal.problem.closed import is_traced
from jaxglobal.status import LocalStatus

TRACED = "the search was traced, with a fixed number of levels: success says whether its cost is finite"


@dataclasses.dataclass(frozen=True, eq=False)
class LocalFit:
    """One of the local fits.

    Attributes:
        popt: the parameters.
        fun: the cost.
        count: local searches that ended there.
        status: how the one that is listed ended.
        residuals: (N,) data minus model.
    """

    popt: Any
    fun: float
    count: int
    status: LocalStatus
    residuals: np.ndarray


class Band(NamedTuple):
    """A prediction with its band.

    Attributes:
        y: the model at the best parameters.
        lower: the lower end of the band.
        upper: the upper end.
        error: the standard deviation.
    """

    y: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    error: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """The outcome of `curve_fit`; unpacks as `popt, pcov`.

    Attributes:
        popt: the parameters of the best fit: (n,), or the structure of the `Box`.
        pcov: (n, n) their covariance; infinite for those of `undetermined`.
        perr: (n,) their standard deviations.
        undetermined: the names of the parameters that the data do not determine, alone or with others.
        fun: the cost: the sum of squared residuals in units of `sigma`, or of what the loss makes of them (the sum of
            their absolute values by "lad"); twice that of `scipy.optimize.least_squares`, which halves its sums.
        residuals: (N,) data minus model.
        dof: degrees of freedom: data minus free parameters.
        fits: the distinct local fits, minima of the cost, with their residuals, best first.
        linear: the indices of the parameters in which the model was seen to be linear.
        loss: its name.
        result: the search as a `Result`, None inside jit and grad.
        names: of the parameters: the arguments of the model, or the paths in the `Box`.
        data: the x, y and weights that were fitted, without points that were masked.

    It can be pickled and copied; once loaded it predicts anywhere if the model is a function of a module, else at the
    abscissae of the data.
    """

    popt: Any
    pcov: Any
    fun: Any
    residuals: Any
    dof: int
    fits: list[LocalFit]
    linear: tuple[int, ...]
    loss: str
    result: Any
    names: list[str]
    data: Data = dataclasses.field(repr=False)
    _regression: Regression = dataclasses.field(repr=False)
    _bounds: Any = dataclasses.field(repr=False)
    _errors: Errors = dataclasses.field(repr=False)
    _call: Callable[[Any, Any], Any] = dataclasses.field(repr=False)
    _model: Any = dataclasses.field(repr=False)
    _seen: tuple[Any, Any] = dataclasses.field(repr=False)  # the model and its Jacobian at the data
    _units: Units = dataclasses.field(repr=False)  # in which it was searched

    def __getstate__(self) -> dict[str, Any]:
        """All data, and the model where it can be pickled."""
        return stored.pack(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.__dict__.update(stored.unpack(state))

    def __copy__(self) -> "Fit":
        """A fit of the same arrays, model and programs."""
        return dataclasses.replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Fit":
        """A fit of other arrays, and the same model and programs."""
        shared = ("_regression", "_call", "_model")
        own = {name: copy.deepcopy(part, memo) for name, part in self.__dict__.items() if name not in shared}
        return dataclasses.replace(self, **own)

    def __iter__(self) -> Iterator[Any]:
        """popt, pcov."""
        return iter((self.popt, self.pcov))

    def __len__(self) -> int:
        """Two."""
        return 2

    def __getitem__(self, index: int) -> Any:
        """Popt or pcov."""
        return (self.popt, self.pcov)[index]

    @property
    def perr(self) -> Any:
        """The standard deviations of the parameters."""
        xp: Any = jnp if is_traced(self.pcov) else np
        return xp.sqrt(xp.diag(self.pcov))

    @property
    def undetermined(self) -> list[str]:
        """The names of the parameters that the data do not determine."""
        if is_traced(self._errors.touched):
            raise TypeError("`undetermined` must be asked of a fit outside jit, vmap and grad.")
        return [name for name, touched in zip(self.names, self._errors.touched, strict=True) if touched]

    @property
    def success(self) -> Any:
        """Whether the search ended because the best cost settled; inside jit and grad, whether the cost is finite."""
        return jnp.isfinite(self.fun) if self.result is None else self.result.success

    @property
    def message(self) -> str:
        """Why the search ended."""
        return TRACED if self.result is None else self.result.message

    def predict(self, xdata: Any = None, level: float = 0.95, new: bool = False, sigma: Any = None) -> Band:
        """The model at the best parameters with its band, to first order in their errors.

        Args:
            xdata: where; None for the abscissae of the data.
            level: of confidence.
            new: the band of a new observation, with the scatter of the data, instead of that of the model's mean.
            sigma: the errors of new observations, in the units of the `sigma` of the fit. By default those of the data;
                at other abscissae theirs if they are all equal, else between those of the neighbours, or of the last.

        Returns:
            A `Band`.

        Raises:
            ValueError: the level is not between 0 and 1, or the errors of new observations are not known.
        """
        if not 0 < level < 1:
            raise ValueError(f"`level` must be between 0 and 1; got {level}.")
        x = self.data.x if xdata is None else arguments.read_x(xdata)
        p = self._regression.structure.flatten(self.popt)
        if xdata is None:
            y, J = map(np.asarray, self._seen)
        elif self._regression.host is not None:
            y, J = self._regression.host(x, p)
        else:
            call = self._units.modelled(quotients.careful(self._call))
            with transfers.allowed():
                seen = models.values_and_jacobian(call, x, jnp.asarray(p / self._units.p))
                y, J = self._units.seen(*map(np.asarray, seen))
        if sigma is not None and not new:
            raise ValueError("`sigma` must be left out unless new=True: the band of the mean does not depend on it.")
        variance = self._errors.variance(np.asarray(J, float))
        if new:
            at = None if xdata is None else x
            size = error_of_new(self.data, self._regression.covariance, at, sigma, len(y))
            variance = variance + (self._errors.scatter(level) * size) ** 2
        error = np.sqrt(variance)
        reach = self._errors.spread(level)
        spread = np.where(error > 0, reach, 1.0) * error  # none is no error, however far it reaches
        return Band(y, y - spread, y + spread, error)

    def on_grid(self, xdata: Any) -> bool:
        """Whether the model can be evaluated at other abscissae than those of the data."""
        try:
            return self.predict(xdata).y.shape == np.shape(xdata)
        except (TypeError, ValueError):
            return False

    def objective(self) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
        """The cost as a function fun(p, *args) of the parameters, their bounds, and the args, which are the data.

        That of "lad" is smooth where a residual vanishes, and lower than `fun` by a millionth of the data's size each.
        """
        reg = self._regression
        self.check_unconstrained()
        if reg.host is not None:
            raise TypeError("`fit` must be that of a JAX model; got a host function.")

        def cost(p, x, y, w, scale):
            leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(p)]
            return reg.cost(jnp.concatenate(leaves), Data(x, y, w, scale, self.data.constants))

        return cost, self._bounds, tuple(self.data[:4])

    def derivative(self) -> Derivative:
        """How the parameters and the cost move with x, y, and the weights of the data (1 / sigma), in this order.

        Returns:
            A `Derivative`: `x[1]` is the Jacobian of popt in ydata, (n, N).
        """
        reg = self._regression
        self.check_unconstrained()
        if reg.host is not None:
            raise ValueError("`model` must be a JAX function for its fit to be differentiated; got a host function.")

        def cost(p, x, y, w, scale):
            given = Data(x, y, w, scale, self.data.constants)
            given = given.within(self._units, reg.loss, reg.covariance, reg.structure.dtype)
            return reg.cost_near(reg.structure.flatten(p) / self._units.p, given)

        moves = derivative(self.result, cost, self._bounds, tuple(self.data[:4]))
        fun, fun_bounds = jax.tree.map(self._units.cost, (moves.fun, moves.fun_bounds))
        return moves._replace(fun=fun, fun_bounds=fun_bounds)

    def bootstrap(self, count: int = 1000, seed: int = 0, progress: bool | str = "auto") -> Any:
        """Global fits of as many data sets made of the fitted curve and residuals drawn from its own.

        Args:
            count: of the data sets.
            seed: of the draws.
            progress: as for `curve_fit_many`, which makes the fits.

        Returns:
            A `Bootstrap`: `perr`, `pcov`, `intervals(confidence)`, and the parameters of every set, `popt`.

        Raises:
            TypeError: the fit is that of a traced program or of a host function.
            ValueError: it has no residuals to draw from, or they hang together.
        """
        many = import_module("jaxglobal.profiles.bootstrap")  # which stands on this module
        return many.bootstrap(self, count, seed, progress)

    def check_unconstrained(self) -> None:
        """Raises for what does not know the constraints of a fit yet.

        Raises:
            TypeError: it has some.
        """
        if self.result is not None and self.result.active is not None:
            raise TypeError(
                "`fit` must have no `constraints`, which derivatives, profiles, bootstraps and proofs of fits do not "
                "know yet; got one under constraints."
            )

    def __repr__(self) -> str:
        """The parameters with their standard deviations, and the local fits."""
        return f"Fit(popt={self.popt}, pcov={self.pcov})" if self.result is None else printed.text(self)

    def _repr_html_(self) -> str:
        return f"<pre>{self!r}</pre>" if self.result is None else printed.page(self)
