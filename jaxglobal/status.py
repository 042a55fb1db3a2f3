"""Why a search ended, and why each of its local searches did."""

import enum


class Status(enum.StrEnum):
    """Why a search ended; the value is the message."""

    RUNNING = "the search has not ended"
    SAME = "the best value has settled: it was the same in so many levels in a row, or the evidence speaks for it"
    TARGET = "the target was reached"
    CALLBACK = "the callback ended the search"
    COVERED = "the share of the box that leads to minima not yet seen is at most `unseen`"
    MAX_TIME = "max_time was reached; the best value so far may not be the global minimum: allow more time"
    MAX_LEVELS = "max_levels was reached; the best value so far may not be the global minimum: allow more levels"
    MAX_STARTS = "max_starts was reached; the best value so far may not be the global minimum: allow more starts"
    MAX_EVALS = "max_evals was reached; the best value so far may not be the global minimum: allow more evaluations"
    TOO_LARGE = (
        "the next level would bring the local searches above 131,072 and no limit was given: "
        "set max_time, max_levels, max_starts or max_evals to go on"
    )
    NO_FINITE_VALUE = "no point gave a finite value: check fun at a point of the box, and whether its dtype overflows"
    INFEASIBLE = "no feasible point was found: x is where the constraints are violated the least"
    NO_FINITE_GRADIENT = (
        "fun is finite, but its gradient at no start, so that no local search could begin and the best point is that "
        "of values alone: check jax.grad(fun); a `where` gives NaN where the derivative of the unused branch does"
    )
    INTERRUPTED = "the search was interrupted from the keyboard"
    CANCELLED = "the search was cancelled"
    UNSETTLED = (
        "the local searches that were made do not agree on the lowest cost, which may not be that of the best fit: "
        "allow more of them, give a guess, or a smaller box"
    )
    NOISE = (
        "the best values scatter by more than fatol and frtol: fun is noisy, or not smooth there; "
        "raise fatol to the differences that do not matter"
    )
    FULL = (
        "more minima were found than are kept, so that the share of the box that leads to others is not known: "
        "search without `unseen`, or with a larger fatol"
    )


class LocalStatus(enum.IntEnum):
    """Why a local search ended. What each means is in `MEANING`."""

    RUNNING = 0
    CONVERGED = 1
    CONVERGED_TO_PRECISION = 2
    EVALUATION_LIMIT = 3
    NONFINITE_VALUE = 4
    NONFINITE_GRADIENT = 5
    TARGET_REACHED = 6
    CUT = 7
    KNOWN = 8
    INFEASIBLE = 9


NOT_BEGUN = (LocalStatus.NONFINITE_VALUE, LocalStatus.NONFINITE_GRADIENT)  # searches that could not begin

MEANING = {
    LocalStatus.RUNNING: "the local search has not ended",
    LocalStatus.CONVERGED: "the quasi-Newton model promises no further decrease, or no further step",
    LocalStatus.CONVERGED_TO_PRECISION: "no better point can be told apart within the rounding error of fun",
    LocalStatus.EVALUATION_LIMIT: "the evaluations of one local search were used up",
    LocalStatus.NONFINITE_VALUE: "fun is NaN or infinite at the start",
    LocalStatus.NONFINITE_GRADIENT: "fun is finite at the start, its gradient is not",
    LocalStatus.TARGET_REACHED: "the target was reached",
    LocalStatus.CUT: "a limit of the whole search ended it",
    LocalStatus.KNOWN: "it was about to end in a minimum that was known",
    LocalStatus.INFEASIBLE: "it ended where the violation of the constraints is least nearby, and not zero",
}
