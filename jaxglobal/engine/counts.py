"""How far the streams of all processes are, and how starts are shared among them, from counts alone.

Starts are dealt to every stream as many as it will take in the next chunks at the pace it has shown, so that all run
out of them together. From the same counts all processes come to the same shares.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.engine.spent import Spent

FIRST_TICKS = 1  # of the first chunk, when nothing is known about their time
MOST_TICKS = 2**16
AHEAD = 2  # chunks for which a stream is given starts
USUAL_TICKS = 10  # of a search, before any has ended


class Report(NamedTuple):
    """What a process tells of its k streams after a chunk."""

    waiting: np.ndarray
    """(k,) Starts in the queue of each."""
    at_work: np.ndarray
    """(k,) Searches in its lanes."""
    ended: np.ndarray
    """(k,) Searches that ended lately."""
    made: np.ndarray
    """(k,) Ticks in which they did."""
    spent: np.ndarray
    """(3,) Since the last report, as in `Spent`."""
    tick_time: np.ndarray
    """() Seconds."""
    look_time: np.ndarray
    """() Seconds of a call for values alone."""
    short: np.ndarray
    """() Whether the memory was too short for the chunk."""


class Tally:
    """What the k streams of this process have taken.

    Attributes:
        seconds: (k,) that the calls of the program of each have taken.
        worked: (k,) ticks that each has made.
        ended: (k,) searches that ended lately.
        made: (k,) ticks in which they did.
        spent: since the last report.
        short: whether the memory was too short for the chunk.
    """

    def __init__(self, k: int, pace: tuple[float, float]):
        """pace: searches that ended and the ticks in which they did, of a stream of the same engine before."""
        self.seconds, self.worked = np.zeros(k), np.zeros(k, np.int64)
        self.ended, self.made = (np.full(k, count) for count in pace)
        self.spent, self.short = Spent(), False

    def add(self, busy: list[int], ended: list[int], made: Any, nfev: Any, seconds: Any, lanes: int) -> None:
        """Counts a chunk: of each busy stream, searches that ended, ticks, evaluations, and the seconds of the call."""
        self.spent = self.spent.add(int(np.sum(nfev)), ticks=int(np.sum(made)) * lanes)
        self.worked[busy] += made
        self.seconds[busy] += seconds
        # The pace of late: what was longer ago counts half with every chunk.
        self.ended[busy], self.made[busy] = self.ended[busy] / 2 + ended, self.made[busy] / 2 + np.array(made)

    @property
    def pace(self) -> tuple[float, float]:
        """Searches that ended lately and the ticks in which they did, of a stream."""
        return float(np.mean(self.ended)), float(np.mean(self.made))


def ticks(tick_time: float, chunk_time: float) -> int:
    """Ticks of the next chunk, so many that it takes about so long."""
    return int(min(max(chunk_time / tick_time, 1), MOST_TICKS)) if tick_time else FIRST_TICKS


class Counts:
    """Of k streams, those of all processes.

    Attributes:
        waiting: (k,) starts in the queue of each.
        at_work: (k,) searches in its lanes.
        tick_time: seconds of a tick, of the slowest.
        look_time: seconds of a call for values alone.
    """

    def __init__(self, lanes: int, queue: int, lockstep: bool):
        """lanes, queue: of each stream. lockstep: see `Streams`."""
        self._lanes, self._queue, self._lockstep = lanes, queue, lockstep

    def hear(self, reports: list[Report]) -> None:
        """Takes in what all processes tell of their streams."""
        self.waiting, self.at_work, ended, made = (np.concatenate([report[i] for report in reports]) for i in range(4))
        # Starts a tick. A stream of which nothing is known is given few, and stops early when it runs out of them.
        self._pace, self._known = (ended + self._lanes) / (made + USUAL_TICKS), ended > 0
        self.tick_time = float(max(report.tick_time for report in reports))
        self.look_time = float(max(report.look_time for report in reports))

    def room(self, max_ticks: int) -> np.ndarray:
        """(k,) Starts that each can take, by chunks of so many ticks: in lockstep none unless all queues are empty."""
        if self._lockstep:
            return np.full(len(self.waiting), 0 if np.any(self.waiting) else self._queue)
        ahead = np.ceil(AHEAD * max_ticks * self._pace).astype(np.int64)
        ahead = np.where(self._known, np.maximum(ahead, self._lanes), AHEAD * self._lanes)
        return np.minimum(ahead, self._queue) - self.waiting

    @property
    def evaluations_a_tick(self) -> int:
        """The most evaluations that the next tick can take: one for each search at work or waiting, one a lane."""
        return int(np.sum(np.minimum(self.waiting + self.at_work, self._lanes)))

    @property
    def busy(self) -> bool:
        """Whether a start waits or a search is at work."""
        return bool(np.any(self.waiting) or np.any(self.at_work))

    def deal(self, k: int, max_ticks: int) -> np.ndarray:
        """How many of k starts go to each stream, so that all run out at the same time; few go to few streams."""
        streams = len(self.waiting)
        if self._lockstep or (not self.busy and k <= streams * self._lanes):
            used = min(streams, -(-k // self._lanes))
            shares = np.zeros(streams, np.int64)
            shares[:used] = k // used + (np.arange(used) < k % used)
        else:
            shares = even_shares(k, self._pace, self.waiting, np.maximum(self.room(max_ticks), 0))
        self.waiting = self.waiting + shares
        return shares


def even_shares(count: int, pace: np.ndarray, waiting: np.ndarray, room: np.ndarray) -> np.ndarray:
    """So many starts for each stream, at most its room, that all run out of starts at the same time.

    count: at most the room of all. pace: starts that each takes in a tick. The sums are exact, so that every process
    comes to the same.
    """
    if count > np.sum(room):
        raise ValueError(f"`count` must be at most the room of all streams; got {count} and {int(np.sum(room))}.")
    low, high = 0.0, math.ceil(max((waiting + room) / pace))
    while max(pace) * (high - low) > 0.5:  # less changes no share by more than one
        middle = (low + high) / 2
        enough = math.fsum(np.clip(pace * middle - waiting, 0, room)) >= count
        low, high = (low, middle) if enough else (middle, high)
    shares = np.floor(np.clip(pace * low - waiting, 0, room)).astype(np.int64)
    while left := count - int(np.sum(shares)):
        shares[np.flatnonzero(shares < room)[:left]] += 1
    return shares
