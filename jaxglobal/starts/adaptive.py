"""Adaptive: levels of starts that learn, some from a cover of the box, the others from what was found.

A level goes round by round. A round first evaluates its candidates: the next points of the cover, those of the hops
(hops.py), lines along the axes (scans.py), and then exchanges of coordinates. It searches from the lowest of each
group, and last, from 100 evaluations a variable on, lets an evolution strategy (cmaes.py) take its share of them. Where
the best value stands still, three in four hops are those of chains, which begin anew at random (chains.py). Every
round is made from what was known when it began, and its random numbers are its own: the same call gives the same starts
in whatever order searches end.

What was measured on the way, with a forerunner of this module (BBOB in 2-D and 5-D, instances 0 to 2, functions of 24
solved to 1e-8; of those that searches alone solve, 11 were not run again; no command repeats it):
- searches from Sobol points alone, 1000 D evaluations: 18 and 13;
- a quarter of them from the cover, the others hops, 10^4 D evaluations: 24 and 19;
- with candidates evaluated first: 24 and 21; with the evolution strategy at a third of the evaluations: 24 and 22.
Later, on instances 0 to 4 within 1000 D evaluations, two values alone counted as one (2-D, 5-D and 10-D, means):
- as above: 21.4, 15.5 and 13.7; with the evolution strategy at a half, and thrice as large at first: 22.1, 16.4, 14.0;
- with the scans, and exchanges that go on in short rounds: 22.7, 18.9 and 15.8 (with the evolution from the start of
  level 4, as before, 21.4, 17.7 and 14.4);
- with the worse half of each generation counting against its directions: 23.4, 18.8 and 16.5;
- with few copies of a minimum, and no yield for hops that come home (hops.py): 23.2, 18.4 and 16.6;
- with more points of a scan where lower values are easy (scans.py): 22.9, 19.3 and 16.4; and of the thirteen that
  searches alone mostly miss, 5.1, 3.3 and 1.5 within 100 D, before 4.1, 2.1 and 0.3.
A third of the searches from the cover, and random starting points of the scans, gave more within 1000 D (23.4, 19.5 and
16.7), but less in three variables, and within 10^4 D in ten; on the classic functions it took a fifth more evaluations.
What it gives now, on other instances: `python benchmarks/bbob.py`.

The cover is never left out, so that every basin is hit in the end, and from every fourth cell a random point is
chosen, so that a basin with a high rim is, too. Screening a cover by its neighbours is the idea of
[RT], here with cells of a coarser grid in place of a radius.

[RT] A. Rinnooy Kan and G. Timmer, Stochastic global optimization methods II, Math. Program. 39 (1987).
"""

import dataclasses
from typing import Any

import numpy as np

from jaxglobal.starts import designs
from jaxglobal.starts.designs import Starts

MOST = 1000  # variables; beyond, a round would cost more than its searches
SEARCHED = 8  # points of the cover for each local search of a level
FEWEST = 3  # local searches of level 1; at least twice as many in each level after it


@dataclasses.dataclass(frozen=True)
class Adaptive:
    """A cover of the box, and hops from what was found: the sequence of `minimize` with `starts="auto"`.

    Level 0 is that of the cover. Level k evaluates the points of the cover's level k, and begins a local search for
    every eight of them, but at least 3 at level 1, 6 at level 2, and so on, and at least four for each distinct minimum
    found so far (64 are told apart), as there may be many more: a quarter, or less while chains hop, from the
    lowest points of the cells of the cover, the others from hops.

    Attributes:
        cover: the sequence of the cover.
        seed: of the hops.
        stop: whether a search that is about to end in a known minimum ends there (basins.py). Not by default: on the
            classic functions it saves a median of 3 % of the evaluations, and on some it costs more
            (`python benchmarks/evaluations.py`).

    Example:
        >>> import jaxglobal as jg
        >>> result = jg.minimize(jg.problems.rastrigin, [(-4, 5.12)] * 2, starts=jg.Adaptive(jg.Grid(), seed=1))
        >>> bool(result.fun < 1e-6)
        True
    """

    cover: Starts
    seed: int = 0
    stop: bool = False

    def __post_init__(self):
        """Raises unless the cover is a sequence of starts, and the seed a whole number."""
        if not isinstance(self.cover, Starts) or isinstance(self.cover, type | Adaptive):
            raise TypeError(
                f"`cover` must be a jaxglobal.Grid, Halves or Sobol, or an object like them; got {self.cover!r}."
            )
        designs.check_seed(self.seed)

    def size(self, level: int, n: int) -> int:
        """Local searches of the level, at least."""
        points = self.cover.size(level, n)
        return max(points // SEARCHED, FEWEST << (level - 1)) if level and n else points

    def points(self, level: int, first: int, count: int, n: int) -> np.ndarray:
        """The points of the cover that these searches stand for; at level 0 the starts themselves."""
        return self.cover.points(level, first, count, n)

    def spacing(self, level: int, done: int, n: int) -> float:
        """That of the points of the cover that have been evaluated after so many searches."""
        share = min(done / max(self.size(level, n), 1), 1.0)
        return self.cover.spacing(level, int(share * self.cover.size(level, n)), n)


@dataclasses.dataclass(frozen=True)
class EasyFirst:
    """For many problems: plain levels as long as they are cheap, then starts that learn; see search/many_mixed.py.

    Attributes:
        learning: for the problems that the others do not settle.
        plain: for all at first.
    """

    learning: Adaptive
    plain: Starts


def told(given: Any, n: int, seed: int) -> Starts:
    """The sequence for `starts=` where values are told: searches of such points do not end at known minima."""
    if isinstance(given, Adaptive) and given.stop:
        raise TypeError("`starts` must be a jaxglobal.Adaptive with stop=False where fun is not a JAX function.")
    return read(given, n, seed)


def read(given: Any, n: int, seed: int) -> Starts:
    """The sequence for `starts=`, for n free variables."""
    sequence = designs.read(given, n, seed)
    return Adaptive(designs.cover(n, seed), seed) if isinstance(given, str) and n <= MOST else sequence
