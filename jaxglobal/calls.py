"""What became of the calls of a function that is not JAX, and what is said of them where no value came back."""

import dataclasses

from jaxglobal.status import Status

ENOUGH_FAILED = 64  # calls, all of which have raised
BLUNDERS = (  # of a program, whatever the point
    "NameError", "UnboundLocalError", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError",
    "SyntaxError",
)  # fmt: skip
MISSING = {
    Status.NO_FINITE_VALUE: "no start gave a finite value",
    Status.NO_FINITE_GRADIENT: "fun is finite, but its gradient at no start",
}


@dataclasses.dataclass
class Calls:
    """What became of the calls of a function that is not JAX.

    Attributes:
        made: calls, of the function and of its gradient.
        failed: calls that raised, or returned no number.
        timed_out: calls that took longer than the time-out.
        died: calls whose worker died.
        traceback: of the first failure.
    """

    made: int = 0
    failed: int = 0
    timed_out: int = 0
    died: int = 0
    traceback: str = ""

    def __str__(self) -> str:
        """On one line."""
        first = f"; the first: {self.first}" if self.first else ""
        return (
            f"{self.made:,} ({self.failed:,} failed, {self.timed_out:,} timed out, {self.died:,} workers died{first})"
        )

    @property
    def bad(self) -> int:
        """Calls that returned nothing."""
        return self.failed + self.timed_out + self.died

    @property
    def first(self) -> str:
        """The exception of the first failure, as the last line of its traceback has it."""
        lines = self.traceback.splitlines()
        frames = [i for i, line in enumerate(lines) if line.startswith('  File "')]
        after = [line for line in lines[frames[-1] + 1 if frames else 0 :] if line[:1].strip()]
        return after[0].strip() if after else ""

    @property
    def hopeless(self) -> bool:
        """Whether so many calls have raised, and none returned, with an error that more of them will not mend."""
        return self.made >= ENOUGH_FAILED and self.failed == self.made and self.first.startswith(BLUNDERS)

    def add(self, later: "Calls") -> None:
        """Adds later ones."""
        self.made, self.failed = self.made + later.made, self.failed + later.failed
        self.timed_out, self.died = self.timed_out + later.timed_out, self.died + later.died
        self.traceback = self.traceback or later.traceback

    def count(self, error: str, traceback: str) -> None:
        """Counts what became of a call: "" (it returned), "failed", "timed out" or "died"."""
        if error and not self.traceback:
            self.traceback = traceback
        self.failed += error == "failed"
        self.timed_out += error == "timed out"
        self.died += error == "died"


def message(status: Status, calls: Calls | None) -> str:
    """Why a search ended, as a sentence: without a value or a gradient, that is what went wrong with its calls."""
    if status not in MISSING or calls is None or not calls.bad:
        return status.value
    which = "every call" if calls.bad == calls.made else f"{calls.bad:,} of {calls.made:,} calls"
    what = ("raised", "timed out", "lost its worker" if calls.bad == calls.made else "lost their workers")
    happened = [verb for verb, count in zip(what, (calls.failed, calls.timed_out, calls.died), strict=True) if count]
    first = f"; the first: {calls.first}" if calls.first else ""
    return f"{MISSING[status]}: {which} {' or '.join(happened)}{first}"
