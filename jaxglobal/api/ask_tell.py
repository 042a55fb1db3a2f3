"""Search: ask for points, tell their values, whoever evaluates them."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxglobal.api.engines import check_constrained
from jaxglobal.api.minimize import check_callback
from jaxglobal.constraints import told, told_rows
from jaxglobal.constraints.asked_rows import ConstrainedAskedLanes
from jaxglobal.engine import devices, processes
from jaxglobal.engine.asked import AskedLanes
from jaxglobal.engine.host import read_noise
from jaxglobal.engine.opening import Opening
from jaxglobal.evidence import stopping
from jaxglobal.local import methods
from jaxglobal.nearest import helps
from jaxglobal.problem import constraint, objective
from jaxglobal.result import Level, Result
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search import progress as display
from jaxglobal.search.levels import Levels
from jaxglobal.search.one import One
from jaxglobal.starts import adaptive, designs

LANES = 16


class _Points(NamedTuple):
    ids: np.ndarray
    x: Any


class Points(_Points):
    """Points to evaluate: a pair, `ids, x = search.ask(4)`, that knows more.

    Attributes:
        ids: (k,) a number for each, to tell its value by.
        x: the points, in the structure of x with a leading axis of k.
        value_only: (k,) where no local search is, so that gradients told there are not looked at.
    """

    value_only: np.ndarray

    def __new__(cls, ids: np.ndarray, x: Any, value_only: np.ndarray | None = None) -> "Points":
        """value_only: None where a search is at each of them."""
        points = super().__new__(cls, ids, x)
        points.value_only = np.zeros(len(ids), bool) if value_only is None else value_only
        return points

    def __len__(self) -> int:
        """The number of points."""
        return len(self.ids)


class Search:
    """A global search that evaluates nothing itself.

    Ask for points and tell their values and gradients, in any order, late, and partly: the local searches whose points
    are still out stand still, the others go on. The arguments are those of `minimize`, without fun and args; `lanes` is
    the number of local searches side by side. At points with `value_only`, from which no search begins yet, the value
    is enough: any gradient will do. x has float64 numbers unless the box or x0 has others. noise: the error of a value,
    where it is more than rounding. checkpoint: a file that keeps the state; `tag` says which function it is for.

    constraints: `Constraint(None, lower, upper)` of rows that are told with each value, in the shape of these bounds;
    beside it in a list, or alone, constraints as `minimize` takes them, whose functions of x are evaluated here. Where
    only multipliers change, no point is asked again: what was told is used once more, and counts as an evaluation.
    `result` knows local searches that have ended.

    Attributes:
        done: whether the search has ended.

    Example:
        >>> import numpy as np, jaxglobal as jg
        >>> search = jg.Search([(-3, 4)] * 2, max_levels=2)
        >>> while (x := search.ask()) is not None:
        ...     search.tell(np.sum((x - 1) ** 2), 2 * (x - 1))
        >>> bool(np.allclose(search.result().x, 1)), search.result().status.name
        (True, 'MAX_LEVELS')

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an argument of the wrong shape or value.
    """

    @helps
    def __init__(
        self,
        bounds: Any,
        *,
        x0: Any = None,
        starts: Any = "auto",
        local: Any = "auto",
        same: int | None = None,
        fatol: float = 1e-8,
        frtol: float = 1e-8,
        max_time: float | None = None,
        max_levels: int | None = None,
        max_starts: int | None = None,
        max_evals: int | None = None,
        target: float | None = None,
        lanes: int | str = "auto",
        seed: int = 0,
        open: Any = False,
        integrality: Any = None,
        noise: float = 0.0,
        callback: Callable[[Level], Any] | None = None,
        checkpoint: Any = None,
        tag: str | None = None,
        constraints: Any = None,
        ctol: float = 1e-8,
    ):
        """See the class."""
        began = time.perf_counter()
        rules = stopping.Rules(same, fatol, frtol, max_time, max_levels, max_starts, max_evals, target)
        check_callback(callback)
        constraint.check_tolerance(ctol)
        noise = read_noise(noise)
        with jax.enable_x64(True):
            problem, guesses = objective.check_box(bounds, x0, open, integrality=integrality)
        sequence = designs.of_values(adaptive.told(starts, int(np.sum(problem.free)), seed), problem.values)
        n, dtype = problem.structure.n, problem.structure.dtype
        self._rows, subject = told_rows.read(constraints, problem.structure, (problem.lower, problem.upper)), None
        search = methods.read(local, n)
        width = LANES if lanes == "auto" else devices.read_lanes(lanes, search.numbers(n), dtype, 0.0)
        options = (sequence, search.identity, width, noise, *objective.whole_of(problem))
        self._structure = problem.structure
        self._constrained: ConstrainedAskedLanes | None = None
        if self._rows is None:
            self._lanes = AskedLanes(width, problem.region, search.program)
        else:
            constraint.check_box(problem.open)
            check_constrained(search, processes.ALONE)
            subject = told.subject(self._rows.rows, ctol, problem)
            inner: Any = search.program
            self._lanes = self._constrained = ConstrainedAskedLanes(subject, problem.region, inner, width)
            options += (self._rows.rows.lower, self._rows.rows.upper, float(ctol), self._rows.identity)
        box = problem.lower, problem.upper, problem.open, str(problem.structure)
        kept = checkpoints.keep(checkpoint, lambda: tag, (), box, guesses, rules, options)
        opening, shown = Opening(width, lambda *_: self._lanes, noise), display.Silent()
        parts = began, problem, guesses, sequence, search, rules, opening, callback, shown, kept
        self._levels = Levels(One(*parts, subject=subject))
        self._last: np.ndarray | None = None
        self._most = max_evals

    @property
    def done(self) -> bool:
        """Whether the search has ended."""
        self._go_on()
        return self._levels.ended

    def ask(self, k: int | None = None) -> Any:
        """The next point, or up to k of them.

        Args:
            k: how many points; None for one as a bare x.

        Returns:
            x, or None where there is nothing to evaluate now: the search has ended, or waits for points that are out.
            With k, `Points`, of which there may be none.
        """
        if k is not None and (isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1):
            raise ValueError(f"`k` must be a whole number of at least 1; got {k!r}.")
        self._go_on()
        ids, x, _, value_only = self._lanes.ask(min(1 if k is None else int(k), self._affordable))
        self._last = ids
        if k is not None:
            return Points(ids, self._structure.point(x), value_only)
        return self._structure.point(x[0]) if len(ids) else None

    def tell(self, f: Any, g: Any, ids: Any = None, *, constraints: Any = None, jacobian: Any = None) -> None:
        """The values and gradients at points, and those of what is constrained.

        Args:
            f: the value, or (k,) values; not finite where there is none.
            g: the gradient in the structure of x, with a leading axis of k for several.
            ids: of which points; None for those of the last `ask`.
            constraints: of a `Constraint(None, lower, upper)`: its values, in the shape of its bounds, with a leading
                axis of k for several; not finite where there are none.
            jacobian: their gradients: the structure of x, each leaf with the axes of `constraints` before its own, as
                `jax.jacobian` has it.

        Raises:
            ValueError: the shapes do not fit, or a point was not asked for.
        """
        try:
            single = np.ndim(f) == 0
        except ValueError:
            raise ValueError("`f` must be real values, one a point; got lists of several lengths.") from None
        if self._lanes.untouched:
            self._go_on()  # reads the checkpoint, by which answers to an earlier process are known
        if ids is None:
            if self._last is None:
                raise ValueError("`ids` must say which points these are, as none was asked for since the last tell.")
            ids = self._last
        ids, values = np.atleast_1d(np.asarray(ids)), np.atleast_1d(np.asarray(f))
        if ids.ndim != 1 or (ids.dtype.kind not in "iu" and ids.size):
            raise ValueError(f"`ids` must be whole numbers, those of asked points; got {ids.dtype}, shape {ids.shape}.")
        if values.shape != ids.shape or values.dtype.kind not in "biuf":
            raise ValueError(
                f"`f` must be {len(ids)} real values, one a point; got shape {values.shape}, {values.dtype}."
            )
        lead = () if single else (len(ids),)
        expected = [(*lead, *shape) for shape in self._structure.shapes]
        if isinstance(g, list | tuple) and jax.tree_util.treedef_is_leaf(self._structure.treedef):
            g = np.asarray(g)  # numbers of an array, not a pytree
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(g)]
        if shapes != expected:
            raise ValueError(f"`g` must have the shapes {expected}; got {shapes}.")
        self._check_leaves("g", g)
        gradients = np.reshape(self._structure.flatten(g, axes=len(lead)), (len(ids), self._structure.n))
        c, J = self._told_rows(constraints, jacobian, lead, len(ids))
        if self._rows is not None and self._constrained is not None:
            self._constrained.told(ids, values.astype(float), gradients, c, J, self._rows)
        else:
            self._lanes.tell(ids, values, gradients)
        self._last = None

    def _check_leaves(self, name: str, tree: Any) -> None:
        """Raises unless they stand as those of x do, and are real numbers."""
        kinds = [np.asarray(leaf).dtype for leaf in jax.tree.leaves(tree)]
        if any(kind.kind not in "biuf" for kind in kinds):
            raise ValueError(f"`{name}` must be real numbers; got {', '.join(map(str, kinds))}.")
        treedef = jax.tree.structure(tree)
        if treedef != self._structure.treedef:
            raise ValueError(f"`{name}` must have the structure of x, {self._structure.treedef}; got {treedef}.")

    def _told_rows(self, c: Any, J: Any, lead: tuple[int, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
        """What was told of constraints at so many points, (count, m), and their slopes, (count, m, n)."""
        shape = None if self._rows is None else self._rows.shape
        if shape is None:
            if c is not None or J is not None:
                name = "constraints" if c is not None else "jacobian"
                raise ValueError(f"`{name}` must be left out unless the search has a Constraint(None, lower, upper).")
            return np.zeros((count, 0)), np.zeros((count, 0, self._structure.n))
        expected = [(*lead, *shape), *((*lead, *shape, *leaf) for leaf in self._structure.shapes)]
        if isinstance(J, list | tuple) and jax.tree_util.treedef_is_leaf(self._structure.treedef):
            J = np.asarray(J)
        leaves = [np.asarray(leaf) for leaf in (c, *jax.tree.leaves(J))]
        if [leaf.shape for leaf in leaves] != expected:
            got = [None if leaf.dtype == object else leaf.shape for leaf in leaves]
            raise ValueError(
                f"`constraints` and `jacobian` must be real numbers of the shapes {expected[0]} and {expected[1:]}; "
                f"got {got[0]} and {got[1:]}."
            )
        if leaves[0].dtype.kind not in "biuf":
            raise ValueError(f"`constraints` must be real numbers; got {leaves[0].dtype}.")
        self._check_leaves("jacobian", J)
        m = math.prod(shape)
        flat = self._structure.flatten(J, axes=len(lead) + len(shape)).astype(float)
        return leaves[0].reshape(count, m).astype(float), flat.reshape(count, m, self._structure.n)

    def save(self) -> None:
        """Writes the checkpoint now, answers that have been told included.

        Raises:
            ValueError: the search was given no path.
        """
        self._levels.save()

    def result(self) -> Result:
        """What has been found so far."""
        self._go_on()
        return self._levels.result

    @property
    def _affordable(self) -> int:
        """Points that may be asked for beside those that are out: a value at each of them at least."""
        if self._most is None:
            return len(self._lanes.open_lanes) + self._lanes.waiting
        spent = self._lanes.spent
        return max(spent.values_within(self._most - spent.nfev) - self._lanes.out, 0)

    def _go_on(self) -> None:
        """Advances what has been told, as long as there is no point to give away."""
        lanes = self._lanes
        unaffordable = lanes.waiting and not lanes.out and not self._affordable
        if not self._levels.ended and (lanes.held or unaffordable):
            self._levels.step()  # whose limits bind, though values wait for others
        while not self._levels.ended and lanes.movable and (lanes.news or not lanes.waiting):
            self._levels.step()
