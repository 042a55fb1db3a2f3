"""How what comes back prints: numbers, durations and points as a person reads them, tables, rows for JSON."""

import dataclasses
import enum
import html
import textwrap
from typing import Any

import numpy as np

WIDTH = 104  # of what a printed result says
SHOWN = 10  # minima and levels that a printed result lists


def wrapped(name: str, value: str) -> list[str]:
    """A row of a printed result; what is long goes on below."""
    first, *more = textwrap.wrap(value, WIDTH) or [""] if len(value) > WIDTH else [value]
    return [f"{name:>12}: {first}", *(f"{'':>14}{line}" for line in more)]


def plain(value: Any) -> Any:
    """The same in Python numbers, lists, dictionaries and strings; a status is its name."""
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        constrained = getattr(value, "active", None) is not None
        told = [field.name for field in dataclasses.fields(value) if constrained or not field.metadata]
        return {name: plain(getattr(value, name)) for name in told}
    if isinstance(value, dict):
        return {key if isinstance(key, str) and not isinstance(key, enum.Enum) else str(plain(key)): plain(part)
                for key, part in value.items()}  # fmt: skip
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    as_list = getattr(value, "tolist", None)
    if as_list is not None:
        return plain(as_list())
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def table(rows: list[tuple[str, str]]) -> str:
    """Names and values as a table of HTML."""
    cells = (f"<tr><th style='text-align:left'>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in rows)
    return f"<table>{''.join(cells)}</table>"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "start"), counted(2000, "start")
    ('1 start', '2,000 starts')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 3.2 ms, 12.5 s, 4 min 10 s, 2 h 05 min.

    >>> duration(0.00321)
    '3.2 ms'
    """
    if not np.isfinite(seconds):
        return "unknown"
    if seconds < 0.9995:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def brief(x: Any) -> str:
    """A point on one line; long arrays are abbreviated."""
    with np.printoptions(precision=8, threshold=12, edgeitems=3, suppress=False):
        return " ".join(str(x).split())
