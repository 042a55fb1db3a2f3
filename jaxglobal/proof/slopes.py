"""The first two derivatives of functions of one value, as operations of a flat program."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.proof import special
from jaxglobal.proof.intervals import Interval


def slopes(p: Any, op: str, u: int, out: int, params: dict[str, Any]) -> tuple[int, Callable[[], int]] | None:
    """The first derivative of a function of one value, and a maker of the second; None where there is no rule.

    p: the program; u: its argument; out: its value.
    """
    one, inverse = p.const(1.0), lambda i: p.unary("reciprocal", i)
    square = lambda i: p.unary("square", i)  # noqa: E731
    if op in special.RULES:
        return special.slopes(p, op, u, out, params.get("by"))
    if op == "exp":
        return out, lambda: out
    if op == "expm1":
        e = p.unary("exp", u)
        return e, lambda: e
    if op == "log":
        r = inverse(u)
        return r, lambda: p.unary("neg", square(r))
    if op == "xlogx":
        return p.add(p.unary("log", u), one), lambda: inverse(u)
    if op == "log1p":
        r = inverse(p.add(one, u))
        return r, lambda: p.unary("neg", square(r))
    if op == "sqrt":
        r = p.scaled(inverse(out), 0.5)
        return r, lambda: p.unary("neg", p.scaled(p.mul(inverse(u), inverse(out)), 0.25))
    if op == "cbrt":
        third = p.const(Interval(np.full(1, np.nextafter(1 / 3, 0)), np.full(1, np.nextafter(1 / 3, 1))))
        r = p.mul(third, inverse(square(out)))
        return r, lambda: p.unary("neg", p.mul(p.mul(p.scaled(third, 2.0), r), inverse(u)))
    if op == "sin":
        return p.unary("cos", u), lambda: p.unary("neg", out)
    if op == "cos":
        return p.unary("neg", p.unary("sin", u)), lambda: p.unary("neg", out)
    if op == "tan":
        d = p.add(one, square(out))
        return d, lambda: p.mul(p.scaled(out, 2.0), d)
    if op == "tanh":
        d = p.unary("square", inverse(p.unary("cosh", u)))
        return d, lambda: p.mul(p.scaled(out, -2.0), d)
    if op == "sinh":
        return p.unary("cosh", u), lambda: out
    if op == "cosh":
        return p.unary("sinh", u), lambda: out
    if op in ("asin", "acos"):
        room = p.sub(one, square(u))
        d = inverse(p.unary("sqrt", room))
        second = lambda: p.mul(u, p.mul(d, inverse(room)))  # noqa: E731
        if op == "asin":
            return d, second
        return p.unary("neg", d), lambda: p.unary("neg", second())
    if op == "atan":
        d = inverse(p.add(one, square(u)))
        return d, lambda: p.mul(p.scaled(u, -2.0), square(d))
    if op in ("asinh", "acosh"):
        room = p.add(square(u), one) if op == "asinh" else p.sub(square(u), one)
        d = inverse(p.unary("sqrt", room))
        return d, lambda: p.unary("neg", p.mul(u, p.mul(d, inverse(room))))
    if op == "atanh":
        d = inverse(p.sub(one, square(u)))
        return d, lambda: p.mul(p.scaled(u, 2.0), square(d))
    if op == "logistic":
        d = p.mul(out, p.unary("logistic", p.unary("neg", u)))
        return d, lambda: p.mul(d, p.sub(one, p.scaled(out, 2.0)))
    if op in ("erf", "erfc"):
        factor = 2 / math.sqrt(math.pi) * (1 if op == "erf" else -1)
        ends = np.sort([factor * (1 - 2.0**-51), factor * (1 + 2.0**-51)])
        c = p.const(Interval(ends[:1], ends[1:]))
        d = p.mul(c, p.unary("exp", p.unary("neg", square(u))))
        return d, lambda: p.mul(p.scaled(u, -2.0), d)
    if op == "lgamma":
        return p.unary("digamma", u), lambda: p.unary("trigamma", u)
    if op == "digamma":
        return p.unary("trigamma", u), lambda: p.emit("unknown", (u,), p.shape(u))
    if op == "reciprocal":
        d = p.unary("neg", square(out))
        return d, lambda: p.scaled(p.mul(square(out), out), 2.0)
    if op == "square":
        return p.scaled(u, 2.0), lambda: p.const(np.full(p.shape(u), 2.0))
    if op == "ipow":
        y = params["y"]
        power = lambda k: u if k == 1 else p.emit("ipow", (u,), key=k, y=k)  # noqa: E731
        return p.scaled(power(y - 1), float(y)), lambda: p.scaled(power(y - 2), float(y * (y - 1)))
    if op == "powc":
        y, r = params["y"], p.mul(out, inverse(u))  # of y - 1, which is not always a number without rounding
        c = y * (y - 1)
        second = p.const(Interval(np.full(1, c - abs(c) * 2.0**-50), np.full(1, c + abs(c) * 2.0**-50)))
        return p.scaled(r, y), lambda: p.mul(second, p.mul(r, inverse(u)))
    if op == "quadratic":
        a, b = (p.const(params[k][..., 0]) for k in ("a", "b"))
        twice = p.scaled(a, 2.0)
        return p.add(p.mul(twice, u), b), lambda: p.broadcast(twice, p.shape(u))
    if op == "abs":
        return p.unary("sign_hull", u), lambda: p.const(np.zeros(p.shape(u)))
    if op == "neg":
        return p.const(np.full(p.shape(u), -1.0)), lambda: p.const(np.zeros(p.shape(u)))
    return None
