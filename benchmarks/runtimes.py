"""What the rows of bbob.py say: functions solved at a cost or a time, by method, and the tables of that.

Cost is nfev + njev, or nfev + D njev (a gradient by D differences). The budgets of 100 D, 1000 D, ... evaluations, each
a value with its gradient, are costs of 200 D, 2000 D, ... in both ways of counting: a run that was stopped at
nfev + njev = 2000 D has spent at least that much by the other count too, so no run is judged beyond what was seen.
"""

import collections
import json
import re
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from common import RESULTS

BUDGETS = (100, 1000, 10_000)
TIMES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
LAST = 50  # index of the target 1e-8
OURS = "jaxglobal"
Row = dict[str, Any]


def read(dims: Iterable[int]) -> list[Row]:
    """All saved rows, with `method` and `n`."""
    rows = []
    for path in sorted((RESULTS / "bbob").glob("*.json")):
        n, method = re.fullmatch(r"(\d+)d_(.+)", path.stem).groups()
        if int(n) in dims:
            rows += [{"method": method, "n": int(n), **row} for row in json.loads(path.read_text())["rows"]]
    return rows


def comparable(rows: list[Row]) -> list[Row]:
    """The rows of the runs, of a dimension, function and instance, that every method of that dimension has made."""
    made = collections.defaultdict(set)
    everybody = collections.defaultdict(set)
    for row in rows:
        made[row["n"], row["function"], row["instance"]].add(row["method"])
        everybody[row["n"]].add(row["method"])
    return [row for row in rows if made[row["n"], row["function"], row["instance"]] == everybody[row["n"]]]


def cost(row: Row, pairs: bool = True) -> float | None:
    """Cost at which 1e-8 was reached, as a multiple of the number of variables; None where it was not."""
    if row["stopped"] != "target":
        return None
    return (row["nfev"] + (1 if pairs else row["n"]) * row["njev"]) / row["n"]


def within(budget: float, pairs: bool = True) -> Callable[[Row], bool]:
    """Solved at the cost of so many evaluations a variable."""
    return lambda row: (spent := cost(row, pairs)) is not None and spent <= 2 * budget


def before(seconds: float) -> Callable[[Row], bool]:
    """Solved in so much time, compilation apart."""
    return lambda row: row["stopped"] == "target" and row["seconds"] <= seconds


def solved(rows: Iterable[Row], test: Callable[[Row], bool]) -> dict[int, set[str]]:
    """The functions solved, by instance."""
    found: dict[int, set[str]] = collections.defaultdict(set)
    for row in rows:
        found[row["instance"]] |= {row["function"]} if test(row) else set()
    return found


def median(rows: Iterable[Row], test: Callable[[Row], bool]) -> float:
    """Functions solved, the median over the instances."""
    return statistics.median(len(names) for names in solved(rows, test).values())


def methods(rows: Iterable[Row]) -> list[str]:
    """The methods, ours first."""
    return sorted({row["method"] for row in rows}, key=lambda method: (method != OURS, method))


def report(rows: list[Row], budget: int, order: list[str]) -> None:
    """Prints the tables, of what all methods have run. order: of the functions."""
    left_out = len(rows) - len(rows := comparable(rows))
    if left_out:
        print(f"\n{left_out} runs are left out: not all of the methods have made them (--methods chooses some)")
    budgets = [b for b in BUDGETS if b <= budget]
    for n in sorted({row["n"] for row in rows}):
        mine = [row for row in rows if row["n"] == n]
        functions = sorted({row["function"] for row in mine}, key=order.index)
        instances = sorted({row["instance"] for row in mine})
        print(f"\n{n}-D: functions of {len(functions)} solved to 1e-8, median over instances {instances}")
        heads = [f"{b}D" for b in budgets] + [f"{b}D'" for b in budgets] + [f"{t:g} s" for t in TIMES]
        print(f"{'':22}" + "".join(f"{head:>9}" for head in heads) + "     cut")
        tests = [within(b) for b in budgets] + [within(b, False) for b in budgets] + [before(t) for t in TIMES]
        names = methods(mine)
        groups = {name: [row for row in mine if row["method"] == name] for name in names}
        if len(names) > 2:
            groups["best of the others"] = [row for row in mine if row["method"] != OURS]
        for name, group in groups.items():
            cut = sum(row["stopped"] == "budget" and row["factor"] < budget for row in group)
            runs = f"{cut:4} of {len(group)}"
            print(f"{name:22}" + "".join(f"{median(group, test):9g}" for test in tests) + "  " + runs)
        print(f"\n{n}-D: runs solved, in %")
        for name in names:
            shares = [100 * statistics.mean(test(row) for row in groups[name]) for test in tests]
            print(f"{name:22}" + "".join(f"{share:9.0f}" for share in shares))
        largest = budgets[-1]
        print(f"\n{n}-D: instances of {len(instances)} solved at {largest} D, by function")
        print(f"{'':30}" + "".join(f"{name.split('-', 1)[-1][:9]:>10}" for name in names))
        for function in functions:
            counts = [
                sum(within(largest)(row) for row in groups[name] if row["function"] == function) for name in names
            ]
            print(f"{function:30}" + "".join(f"{count:10}" for count in counts))
    print(
        "\n100D: at the cost nfev + njev of 100 D evaluations, each a value with its gradient; 100D': at the same\n"
        "cost as nfev + D njev; seconds: of run time, compilation apart, within the budget (of the others\n"
        "the time of the processor, if less); cut: runs that were stopped at a smaller budget so far."
    )
