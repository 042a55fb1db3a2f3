"""Opens streams: compiles what a search needs on every device, side by side, as large as its memory has room for."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxglobal.engine import devices as hardware
from jaxglobal.engine import fused, looks, processes, stepped
from jaxglobal.engine.compiling import Tier
from jaxglobal.engine.fused import Engine
from jaxglobal.engine.lanes import Lanes
from jaxglobal.engine.looks import Looks, Pairs
from jaxglobal.engine.streams import Streams, thread_pool
from jaxglobal.engine.sweep import Problems
from jaxglobal.local.descent import Program
from jaxglobal.problem.closed import Closed, x64


class Needs(NamedTuple):
    """What a search asks of its streams beside local searches."""

    points: int = 0
    """Of a call for values alone; 0 where none are asked for."""
    pairs: int = 0
    """Of a call for values with gradients; 0 where none are asked for."""
    at_once: int | None = None
    """Starts that come together, at most, where they come in blocks."""
    stops: bool = False
    """Whether searches end at known minima."""
    tier: Tier = Tier.FAST
    """What the evaluations are made with."""

    def at_most(self, count: int) -> "Needs":
        """With calls of so many points at most."""
        return self._replace(points=min(self.points, count), pairs=min(self.pairs, count))

    def halved(self, times: int) -> "Needs":
        """With calls of half the points, so many times over, but of one at least."""
        points, pairs = (min(count, max(count >> times, 1)) for count in (self.points, self.pairs))
        return self._replace(points=points, pairs=pairs)


SEARCHES = Needs()


class Opening(NamedTuple):
    """What a search has to know of its lanes before any is open, and what opens them, whoever evaluates."""

    lanes: int
    """On each device, at most."""
    open_streams: Callable[[int, int, Tier], Lanes]
    """Opens so many lanes, after memory has run out so many times, of this tier."""
    noise: float = 0.0
    """The error of a value."""
    precise: Any = None
    """The function in float64; see `precise.Precise`."""
    platform: str = "any"
    """For which the number of lanes is chosen, "any" if it was given."""
    tiers: tuple[float, float] = (0.0, 0.0)
    """Evaluations from which the first tier of programs is left, and the second, where few searches are together."""


def open_streams(
    closed: Closed, program: Program, problems: Problems, lanes: int, given: Any, before_compile: Callable[[], None],
    own: tuple[bool, ...] = (), lockstep: bool = True, group: processes.Alone = processes.ALONE, fit: bool = True,
    needs: Needs = SEARCHES, kind: Callable[..., Any] = Streams,
) -> Any:  # fmt: skip
    """Streams on all devices, their programs compiled if this is their first use.

    program: the local search. lanes: of each stream; fewer where this needs more memory than there is, if `fit`. given:
    the devices. needs: what the search asks for beside local searches. kind: of streams.
    """
    placements = hardware.placements(given, jax.tree.leaves(problems))
    distinct, precise = list(dict.fromkeys(placements)), x64()
    soon = needs.tier < Tier.FAST and hardware.soon(closed.cost, given[0].platform) > 0

    def compiled(placement: Any, lanes: int, before: Callable[[], None]) -> Engine:
        with jax.enable_x64(precise):
            if needs.tier is Tier.STEPPED and stepped.serves(program, own):
                evaluate = values(lanes, placement, gradients=True).result
                return stepped.engine(
                    evaluate, closed, program, problems, lanes, before, needs.at_once, placement, needs.stops
                )
            return fused.engine(
                closed, program, problems, lanes, before, own, needs.at_once, placement, needs.stops, soon
            )

    def fitting(lanes: int) -> Engine:
        """The engine of the first device."""
        while True:
            first = compiled(distinct[0], lanes, before_compile)
            fewer = hardware.fewer_lanes(lanes, first.memory, hardware.memory(distinct[0])) if fit else lanes
            if fewer == lanes:
                return first
            lanes = fewer

    begun: dict[Any, Future[looks.Values]] = {}

    def values(points: int, placement: Any, gradients: bool = False) -> Future[looks.Values]:
        """Begins to compile the program of so many values."""

        def compiled() -> looks.Values:
            with jax.enable_x64(precise):
                of_args = own[len(problems.region) :]
                return looks.compiled(closed, problems, points, placement, gradients, of_args, soon)

        key = points, placement, gradients
        if key not in begun:
            begun[key] = thread_pool(len(distinct) + 2).submit(compiled)  # XLA compiles side by side
        return begun[key]

    def ask(needs: Needs) -> tuple[list[Any], list[Any]]:
        """Begins to compile the programs of values: of each device, and with gradients."""
        alone = [values(needs.points, placement) for placement in distinct if needs.points]
        return alone, [values(needs.pairs, distinct[0], gradients=True)] if needs.pairs else []

    alone, pairs = ask(needs)
    engines = {distinct[0]: fitting(lanes)}
    fewest = int(min(group.gather(np.array(engines[distinct[0]].lanes))))
    if fewest < engines[distinct[0]].lanes:
        engines[distinct[0]] = compiled(distinct[0], fewest, before_compile)
    if fewest < lanes:  # memory is short
        needs = needs.at_most(fewest)
        alone, pairs = ask(needs)
    if len(distinct) > 1:
        others = thread_pool(len(distinct)).map(lambda where: compiled(where, fewest, lambda: None), distinct[1:])
        engines |= dict(zip(distinct[1:], others, strict=True))
    opened = kind([engines[placement] for placement in placements], problems, lockstep, group)
    if pairs:
        opened.pairs = Pairs(pairs[0].result(), needs.pairs)
    if alone:
        programs = dict(zip(distinct, [future.result() for future in alone], strict=True))
        n, dtype = opened.engine.n, opened.engine.dtype
        opened.looks = Looks(
            [programs[placement] for placement in placements], needs.points, n, dtype, any(own[len(problems.region) :])
        )
    return opened


def looks_of(
    closed: Closed, problems: Problems, given: Any, points: int, n: int, dtype: np.dtype, soon: bool,
    own: tuple[bool, ...] = (),
) -> Looks:  # fmt: skip
    """Values alone of another function than that of the searches, on these devices, so many points a call.

    own: which of the args have an axis of problems.
    """
    placements = hardware.placements(given, jax.tree.leaves(problems))
    programs = {
        where: looks.compiled(closed, problems, points, where, own=own, soon=soon)
        for where in dict.fromkeys(placements)
    }
    return Looks([programs[where] for where in placements], points, n, dtype, any(own))
