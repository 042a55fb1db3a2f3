"""What the minima that were found say about those that were not, from how often each was hit.

Were all searches begun at random points, the chance that the next one finds a new minimum would be the share of the box
whose minima have not been seen. It is estimated by the share of the searches that were the only one to end in their
minimum [G], with the error of [E]; after N searches without any such it is at most 3 / N with 95 % confidence. The
number of minima not yet seen is estimated from those that were hit once and twice [C], with the interval of [C87];
where few were hit so seldom, from the chance that a minimum of the shares seen would have been missed.

When it holds:
- Only searches from starts that are spread evenly over the box count: those of a grid or a sequence like it, but not
  a user's own guesses, starts that were chosen by their values, or those made from other minima.
- The share is right for any sizes of basins. The number is not: minima whose basins are much smaller than one start
  in N leave no trace, so that it is a lower bound wherever basins differ much in size.
- Starts of a grid are more even than random ones: fewer minima are hit once, and the truth lies rather above.
- Minima that were found in other ways, by hops, are taken off the number, but not off the share. The default starts
  make one search in sixteen an even one, or fewer: too few to say much, but what is said holds. To know how many minima
  there are, search with `starts=jaxglobal.Grid()` or `jaxglobal.Sobol()`.
- Where more than half of the box is unseen, no upper limit is given.
- A search that stops short of its minimum (a very bent valley, a flat bottom) counts as a minimum of its own: then both
  are too high, never too low.
How often it held on functions with a known number of minima: `python benchmarks/unseen.py`. The estimate of Boender
and Rinnooy Kan, w (N - 1) / (N - w - 2) minima for w seen, is shown beside it there. It supposes that all divisions of
the box are equally likely, and is far too high where basins are of equal size.

[G] I. J. Good, The population frequencies of species and the estimation of population parameters, Biometrika 40, 1953.
[E] W. W. Esty, A normal limit law for a nonparametric estimator of the coverage of a random sample, Ann. Stat. 11,
1983.
[C] A. Chao, Nonparametric estimation of the number of classes in a population, Scand. J. Stat. 11, 1984.
[C87] A. Chao, Estimating the population size for capture-recapture data with unequal catchability, Biometrics 43, 1987.
"""

import math

import numpy as np

from jaxglobal.result import Unseen

CONFIDENT = 1.96  # standard errors, for 95 %
FEW = 0.5  # share of the box unseen beyond which there are too few searches to say how many minima at most
NONE_SEEN = 3.0  # -log(0.05): events that are missed with a chance of 5 %


def estimate(counts: np.ndarray, searches: int, others: int = 0) -> Unseen:
    """The estimate from how often each minimum was hit, (w,) counts of at least 1, in so many searches, at least 1.

    others: minima that only other searches have found, so that they are not unseen either.
    """
    once, twice = int(np.sum(counts == 1)), int(np.sum(counts == 2))
    share = once / searches
    error = CONFIDENT * math.sqrt(once * (1 - share) + 2 * twice)
    most = min(share + max(error, NONE_SEEN) / searches, 1.0)
    minima, low, high = (max(end - others, 0.0) for end in number(counts, once, twice, searches))
    few = share > FEW or (others and not high)  # others have found more than there should be
    return Unseen(minima, low, math.inf if few else high, share, most, searches)


def number(counts: np.ndarray, once: int, twice: int, searches: int) -> tuple[float, float, float]:
    """The estimated number, and between which it lies with 95 % confidence."""
    m = (searches - 1) / searches
    if twice:
        ratio = once / twice
        unseen = m * once * ratio / 2
        variance = twice * (m * ratio**2 / 2 + m**2 * ratio**3 + m**2 * ratio**4 / 4)
    else:
        unseen = m * once * (once - 1) / 2
        seen = len(counts) + unseen
        variance = unseen + m**2 * once * ((2 * once - 1) ** 2 / 4 - once**3 / (4 * seen)) if once else 0.0
    # A minimum that was hit as often as these was missed with this chance.
    missed = float(np.mean(np.exp(-counts))) if len(counts) else 0.0
    least = (len(counts) * missed + CONFIDENT * math.sqrt(len(counts) * missed)) / (1 - missed)
    if unseen <= 0:
        return 0.0, 0.0, least
    factor = math.exp(CONFIDENT * math.sqrt(math.log1p(max(variance, 0.0) / unseen**2)))
    return unseen, unseen / factor, max(unseen * factor, least)
