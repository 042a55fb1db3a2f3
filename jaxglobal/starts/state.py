"""Where a search whose starts learn stands: everything that decides what comes next, as arrays."""

from typing import NamedTuple

import numpy as np

from jaxglobal.evidence import confidence
from jaxglobal.evidence.confidence import Evidence
from jaxglobal.starts import chains, cmaes, elite, hops, scans
from jaxglobal.starts.chains import Chains
from jaxglobal.starts.cmaes import Evolution
from jaxglobal.starts.elite import EliteSet
from jaxglobal.starts.hops import Habits
from jaxglobal.starts.scans import Schedule

SCREEN, SCAN, EXCHANGE, SEARCH, EVOLVE_NEXT, LOOK, CONTEST = range(7)  # what a round does next


class Block(NamedTuple):
    """Points that go through the lanes together."""

    x: np.ndarray
    """(k, n) In the unit box of the free variables."""
    first_step: np.ndarray
    """(k,) Of the searches, in units of the box; of others nothing is to be read from it."""
    searched: bool
    """Whether a local search begins at each; else they are evaluated only."""


class State(NamedTuple):
    """Where the search stands: everything that decides its next starts. All leaves are arrays."""

    pool: EliteSet
    habits: Habits
    idle: np.ndarray
    """() Searches since the best value of the pool fell."""
    chains: Chains
    spent: np.ndarray
    """(2, 2) Local searches from the cover and their evaluations; the same of all others. Each is counted from 1."""
    scanning: Schedule
    evolution: Evolution
    """Of size 0 where none is under way."""
    evolved: np.ndarray
    """() Values that the evolution strategy has had."""
    restarts: np.ndarray
    """() Evolutions so far."""
    generations: np.ndarray
    """() Of this round."""
    pending: np.ndarray
    """(k, n) Ends of evolutions, to be searched from."""
    step: np.ndarray
    """() What comes next: SCREEN, SCAN, EXCHANGE, SEARCH, EVOLVE_NEXT, CONTEST, or LOOK, a last look at the box."""
    turn: np.ndarray
    """() Blocks so far, which seeds the random numbers."""
    level: np.ndarray
    """() The level under way."""
    size: np.ndarray
    """() Its local searches."""
    x: np.ndarray
    """(k, n) The block under way."""
    outside: np.ndarray
    """(k, n) Samples of the evolution, before they were reflected."""
    cells: np.ndarray
    """() Cover searches of the round."""
    covered: np.ndarray
    """() Points of the cover among the candidates."""
    first_step: np.ndarray
    kind: np.ndarray
    bin: np.ndarray
    """(k,) Of the hops of the round."""
    chain: np.ndarray
    """(m,) Of the first of them, those of chains: which chain."""
    parent: np.ndarray
    """() Of the exchanges: its place in the pool."""
    axis: np.ndarray
    """(k,) Of the exchanges of the round."""
    candidates: np.ndarray
    """(k, n) Of the round, those that have values: of the cover, of the hops, and of a scan."""
    values: np.ndarray
    """(k,) Theirs."""
    swept: np.ndarray
    """() Whether an exchange lowered f."""
    evidence: Evidence
    looking: np.ndarray
    """() Points of the last look whose searches are under way."""
    chosen: np.ndarray
    """() Searches that a last look may begin."""
    scale: np.ndarray
    """() How far values of candidates lie above the best, in the median; infinite until that is known."""
    begun: np.ndarray
    """(k,) Values at the starts of the searches under way, of a function under constraints; +inf if not known."""
    rivals: np.ndarray
    """(k,) Assignments of whole numbers of the contest under way, see contest.py."""
    fell: np.ndarray
    """(k,) What the searches of the last contest have gained."""
    contests: np.ndarray
    """() So far."""


def begin(n: int) -> State:
    """Before the first level."""
    zero, none, whole = np.zeros((), np.int64), np.zeros((0, n)), np.zeros(0, np.int64)
    nobody = cmaes.begin(np.full(n, 0.5), 0)
    return State(
        elite.empty(n), hops.fresh(), zero, chains.empty(n), np.ones((2, 2)), scans.fresh(), nobody, zero, zero, zero,
        none, zero, zero, zero, zero, none, none, zero, zero, np.zeros(0), whole, whole, whole, zero, whole, none,
        np.zeros(0), np.zeros((), bool), confidence.no_evidence(), zero, zero, np.full((), np.inf), np.zeros(0),
        whole, np.zeros(0), zero,
    )  # fmt: skip
