"""How the starts of a sequence that learns reach the lanes: block by block, each made from what the last has found."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxglobal.evidence import confidence, stopping
from jaxglobal.evidence.minima import Ended, join, lowest
from jaxglobal.local import basins
from jaxglobal.local.basins import Known
from jaxglobal.local.descent import Local
from jaxglobal.problem import lattice
from jaxglobal.problem.objective import Objective
from jaxglobal.problem.region import within
from jaxglobal.search.source import Source
from jaxglobal.starts import adaptive, lastlook
from jaxglobal.starts.candidates import round_size
from jaxglobal.starts.designs import Starts
from jaxglobal.starts.elite import POOL
from jaxglobal.starts.rounds import Rounds
from jaxglobal.starts.state import Block
from jaxglobal.status import LocalStatus


class LearningSource(Source):
    """Deals the blocks of rounds (rounds.py), each when the one before has ended; level 0 as it comes."""

    learns = True

    def __init__(
        self, problem: Objective, guesses: np.ndarray, sequence: Any, search: Local, rules: stopping.Rules,
        above: float = math.inf, noise: float = 0.0, pauses: Sequence[float] = (),
    ):  # fmt: skip
        """See `Source`. rules: which values are the same. above: see `confidence.learn`. noise: the error of a value.

        pauses: evaluations after which the loop has a turn before more points are looked at.
        """
        super().__init__(problem, guesses, sequence, search)
        self._target, self._most, self._pauses = rules.target, rules.max_evals, pauses
        eps = float(np.finfo(problem.structure.dtype).eps)
        self._rounds = Rounds(sequence, self.free, eps, rules, problem.values, above, noise)
        self._block: Block | None = None  # that is under way
        self._sent = 0  # points of it
        self._ended: list[Ended] = []  # what has become of it; at level 0, the lowest of all
        self._beside: Ended | None = None  # what was looked at in place of points of it
        self._streams: Any = None  # that it is dealt to

    def size(self, level: int) -> int:
        """See `Source`; of the levels up to the one after the one under way."""
        if level == 0:
            return super().size(level)
        if self._rounds.level == 0:
            x, f, _, sure = self._results()
            self._rounds.add(x, f, sure)
        return self._rounds.size(level)

    def together(self, level: int) -> float:
        """See `Source`."""
        size = self.size(level)
        return round_size(size) if level else size

    def spacing(self, level: int, done: int) -> float:
        """See `Source`."""
        if level == 0:
            return super().spacing(level, done)
        cover, share = self._rounds.sequence.cover, min(done / self.size(level), 1.0)
        return cover.spacing(level, int(share * cover.size(level, self.free)), self.free)

    def deal(self, level: int, dealt: int, allowed: int, streams: Any) -> int:
        """See `Source`; counts the starts of local searches alone."""
        if level == 0:
            return super().deal(level, dealt, allowed, streams)
        self._streams = streams
        if self._rounds.level != level:
            self._rounds.enter(level, streams.spent.nfev)
        if self._block is None:
            self._block, self._sent = self._rounds.next(dealt, allowed - dealt, streams.spent.nfev), 0
            if self._block is None:
                return 0
        if not self._block.searched:
            self._look(dealt, allowed, streams, streams.spent.nfev)
            return 0
        x, first_step, _ = self._block
        if self._rounds.sequence.stop:
            streams.know(self._known())
        count = min(streams.room, len(x) - self._sent)
        if not count:
            return 0
        part = slice(self._sent, self._sent + count)
        points, number = self.problem.place(x[part]), self.number + np.arange(count)
        self.number += count
        self._sent += count
        streams.deal(points, np.clip(first_step[part], self.search.step(0.0), self.search.step(1.0)), number)
        return 0 if self._rounds.looking else count  # those of a last look stand for no points of the cover

    def _look(self, dealt: int, allowed: int, streams: Any, begun: int) -> None:
        """Asks for the values of the block that nobody has been asked for yet; once they are there, for the next block.

        So a generation of points costs no turn of the loop. That gets one where it has something to decide: after a
        round, at the target, and where the lanes change. begun: evaluations when the first values were asked for.
        """
        block: Any = self._block

        def then(f: np.ndarray) -> None:
            nfev = streams.spent.nfev
            self._ended = []
            self._rounds.take(*self._on_rows(block.x, f.astype(np.float64)))
            self._block, self._sent = None, 0
            reached = self._target is not None and np.min(f) <= self._target
            if self._rounds.between or reached or any(begun < pause <= nfev for pause in self._pauses):
                return
            self._block = self._rounds.next(dealt, allowed - dealt, nfev)
            if self._block is not None and not self._block.searched:
                self._look(dealt, allowed, streams, begun)

        x = block.x[self._sent :]
        if len(x):
            first, self.number, self._sent = self.number, self.number + len(x), len(block.x)
            streams.look(self.problem.place(x), first + np.arange(len(x)), then=then)

    def _on_rows(self, x: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points and their values; in place of the first of a last look, none of which is feasible, some that are."""
        count, streams = self._rounds.blind(f), self._streams
        left = math.inf if self._most is None else self._most - streams.spent.nfev
        told = streams.onto_rows(self.problem.place(x[:count]), left) if count else None
        if told is None:
            return x, f
        none, number = np.zeros(count, np.int64), self.number - self._sent + np.arange(count)
        points, ranks = told
        self._beside = Ended(points, ranks, number, none + LocalStatus.RUNNING, none, none)
        return np.concatenate([self._unit(points), x[count:]]), np.concatenate([ranks, f[count:]])

    def _unit(self, x: np.ndarray) -> np.ndarray:
        """Points of the user's coordinates, (k, n), in the unit box of the free variables."""
        lower, width = self.problem.lower, self.problem.upper - self.problem.lower
        return ((x - lower) / np.where(width > 0, width, 1))[:, self.problem.free].astype(np.float64)

    def drains(self, dealt: int, allowed: int) -> bool:
        """As soon as the block has been dealt; at level 0, which has none, the level."""
        return super().drains(dealt, allowed) if self._block is None else self._sent == len(self._block.x)

    def take(self, level: int, ended: Ended) -> np.ndarray | None:
        """See `Source`; even starts are those at random points of the cells of the cover."""
        first = self.number - self._sent if level else 0
        mine = ended.start >= first  # of the blocks before, the values have been told
        if np.any(mine):
            self._ended.append(Ended(*(field[mine] for field in ended)))
        if level == 0:
            self._ended = [lowest(join(self._ended), POOL)] if self._ended else []
            return super().take(level, ended)
        even = self._rounds.random(ended.start - first) if np.all(ended.status != LocalStatus.RUNNING) else None
        if self._block is not None and sum(len(part.f) for part in self._ended) == len(self._block.x):
            searched, (x, f, nfev, sure) = self._block.searched, self._results()
            x, f = (x, f) if searched else self._on_rows(x, f)
            self._rounds.take(x, f, nfev, sure)
            self._block = None
        return even

    def beside(self) -> Ended | None:
        """See `Source`."""
        told, self._beside = self._beside, None
        return told

    def evidence(self, nfev: int) -> confidence.Evidence | None:
        """See `Source`; told between two rounds."""
        return self._rounds.evidence(nfev) if self._block is None and self._rounds.level else None

    @property
    def told(self) -> confidence.Evidence | None:
        """See `Source`."""
        return self._rounds.state.evidence

    def look(self, points: int, searches: int) -> None:
        """See `Source`."""
        self._rounds.look(points, min(searches, lastlook.SEARCHES))

    def sweep(self, searches: int) -> bool:
        """See `Source`."""
        return self._rounds.sweep(searches)

    def contest(self, searches: int) -> bool:
        """See `Source`."""
        return self._rounds.contest(searches)

    @property
    def tried(self) -> lattice.Tried:
        """See `Source`."""
        return self._rounds.tried

    def _known(self) -> Known:
        """The minima at which the searches of the block may end."""
        x, f = self._rounds.known()
        lower, width = self.problem.lower, self.problem.upper - self.problem.lower
        whole = np.zeros((len(x), len(lower)))
        whole[:, self.problem.free] = x
        region = within(lower, self.problem.upper, self.problem.open)
        return basins.known(np.clip(lower + width * whole, region.lower, region.upper), f, lower, width)

    def _results(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What has ended, in the order of the starts, as `Rounds.take` takes it."""
        if not self._ended:
            return np.zeros((0, self.free)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool)
        ended = join(self._ended)
        order = np.argsort(ended.start)
        if self._block is None or self._block.searched:
            x = self._unit(ended.x[order])
        else:
            x = self._block.x
        self._ended = []
        sure = (ended.status == LocalStatus.CONVERGED) | (ended.status == LocalStatus.KNOWN)
        return x, ended.f[order].astype(np.float64), ended.nfev[order], sure[order]

    def save(self) -> dict[str, np.ndarray]:
        """See `Source`."""
        ended = {} if not self._ended else {f"ended_{k}": v for k, v in join(self._ended)._asdict().items()}
        block = {"block": np.array([self._block is not None, self._sent])}
        return super().save() | ended | block | self._rounds.save()

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """See `Source`."""
        super().load(arrays)
        self._ended = []
        if "ended_x" in arrays:
            self._ended = [Ended(*(arrays[f"ended_{name}"] for name in Ended._fields))]
        self._rounds.load(arrays)
        under_way, self._sent = arrays["block"].tolist()
        self._block = self._rounds.block() if under_way else None


def source_of(
    problem: Objective, guesses: np.ndarray, sequence: Starts, search: Local, rules: stopping.Rules,
    above: float = math.inf, noise: float = 0.0, pauses: Sequence[float] = (),
) -> Source:  # fmt: skip
    """The source for a sequence; see `LearningSource`."""
    if isinstance(sequence, adaptive.Adaptive) and np.any(problem.free):
        return LearningSource(problem, guesses, sequence, search, rules, above, noise, pauses)
    return Source(problem, guesses, sequence, search)
