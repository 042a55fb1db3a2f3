"""Complex numbers and Fourier transforms, as a lowering writes them: real parts, and matrices of cosines.

Angles of a transform are taken as whole numbers of its steps, so that the cosines of a turn's quarters and sixths are
exact. What JAX calls a complex operation is traced once more as one of real parts.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.proof.flat import Program
from jaxglobal.proof.intervals import EPS, Interval
from jaxglobal.proof.refused import refuse
from jaxglobal.proof.writer import LARGEST, Writer


class Complex(NamedTuple):
    """A value with two real parts, each a value of the program or an array."""

    re: Any
    im: Any


def is_complex(var: Any) -> bool:
    """Whether a variable of a jaxpr is complex."""
    return jnp.issubdtype(var.aval.dtype, jnp.complexfloating)


def divided(a: Complex, b: Complex) -> Complex:
    """A / b."""
    over = 1 / (b.re**2 + b.im**2)
    return Complex((a.re * b.re + a.im * b.im) * over, (a.im * b.re - a.re * b.im) * over)


def times(a: Complex, b: Complex, by: Callable[[Any, Any], Any] = operator.mul) -> Complex:
    """A b, by a product of real parts."""
    return Complex(by(a.re, b.re) - by(a.im, b.im), by(a.re, b.im) + by(a.im, b.re))


def dotted(params: dict[str, Any], a: Complex, b: Complex) -> Complex:
    """A product of arrays."""
    return times(a, b, lambda x, y: jax.lax.dot_general(x, y, params["dimension_numbers"]))


def power(a: Complex, y: int) -> Complex:
    """A to a whole power."""
    out = one = Complex(jnp.ones_like(a.re), jnp.zeros_like(a.re))
    for _ in range(abs(y)):
        out = times(out, a)
    return divided(one, out) if y < 0 else out


def root(a: Complex) -> Complex:
    """The square root, with the sign of its imaginary part."""
    size = jnp.sqrt(a.re**2 + a.im**2)
    re, im = (jnp.sqrt(jnp.maximum((size + part) / 2, 0.0)) for part in (a.re, -a.re))
    return Complex(re, jnp.where(a.im < 0, -im, im))


def multiplied(a: Complex, axes: Sequence[int]) -> Complex:
    """The product along axes."""
    for axis in sorted(axes, reverse=True):
        rows = [Complex(*(jax.lax.index_in_dim(part, k, axis, False) for part in a)) for k in range(a.re.shape[axis])]
        a = functools.reduce(times, rows, Complex(*(c(jnp.sum(a.re, axis)) for c in (jnp.ones_like, jnp.zeros_like))))
    return a


RULES: dict[str, Callable[..., Any]] = {  # of real parts, in JAX
    "add": lambda p, a, b: Complex(a.re + b.re, a.im + b.im),
    "sub": lambda p, a, b: Complex(a.re - b.re, a.im - b.im),
    "neg": lambda p, a: Complex(-a.re, -a.im),
    "mul": lambda p, a, b: times(a, b),
    "dot_general": dotted,
    "div": lambda p, a, b: divided(a, b),
    "square": lambda p, a: times(a, a),
    "integer_pow": lambda p, a: power(a, p["y"]),
    "reduce_prod": lambda p, a: multiplied(a, p["axes"]),
    "sqrt": lambda p, a: root(a),
    "exp": lambda p, a: Complex(jnp.exp(a.re) * jnp.cos(a.im), jnp.exp(a.re) * jnp.sin(a.im)),
    "abs": lambda p, a: jnp.sqrt(a.re**2 + a.im**2),
    "real": lambda p, a: a.re,
    "imag": lambda p, a: a.im,
    "conj": lambda p, a: Complex(a.re, -a.im),
    "complex": lambda p, a, b: Complex(a.re, b.re),
}
BY_PARTS = {"reshape", "squeeze", "expand_dims", "broadcast_in_dim", "transpose", "slice", "rev", "concatenate", "pad",
            "gather", "dynamic_slice", "select_n", "reduce_sum", "cumsum", "copy"}  # fmt: skip


def cosines(steps: np.ndarray, n: int) -> Interval:
    """Of angles that are whole numbers of n-th parts of a turn."""
    quarters = np.rint(4 * steps / n).astype(int)
    rest = 4 * steps - quarters * n  # at most half of n
    angle = np.pi / 2 * (rest / n)
    c, s = np.cos(angle), np.sin(angle)
    out = np.choose(quarters % 4, [c, -s, -c, s])
    exact = (rest == 0) | (6 * steps % n == 0)
    out = np.where(exact, np.rint(2 * out) / 2, out)
    slack = np.where(exact, 0.0, 8 * EPS)  # of an angle of three roundings below 0.8, and four units of a cosine
    return Interval((out - slack)[..., None], (out + slack)[..., None])


class Complexes(Writer):
    """Equations with complex operands, or a complex result."""

    def parts(self, value: Any) -> Complex:
        """Of a value, which may be real."""
        if isinstance(value, Complex):
            return value
        if isinstance(value, np.ndarray):
            return Complex(value.real, value.imag)
        return Complex(value, np.zeros(self.program.shape(value)))

    def complex_equation(self, eqn: Any, args: Sequence[Any]) -> list[Any]:
        """The results of an equation."""
        name, params = eqn.primitive.name, eqn.params
        if name == "fft":
            return [self.transformed(eqn, self.parts(args[0]), **params)]
        if name == "convert_element_type":
            a = self.parts(args[0])
            return [a if eqn.outvars[0].aval.dtype.kind == "c" else a.re]
        real = np.zeros((), eqn.outvars[0].aval.dtype).real.dtype
        avals = [
            jax.ShapeDtypeStruct(v.aval.shape, real if v.aval.dtype.kind in "cf" else v.aval.dtype) for v in eqn.invars
        ]
        pairs = [self.parts(arg) for arg in args]
        if name in BY_PARTS:
            numbers = [v.aval.dtype.kind == "c" for v in eqn.invars]
            closed = jax.make_jaxpr(lambda *args: eqn.primitive.bind(*args, **params))(*avals)
            sides = ([pair[k] if c else pair.re for pair, c in zip(pairs, numbers, strict=True)] for k in (0, 1))
            return [Complex(*(self.closed(closed, side)[0] for side in sides))]
        if name not in RULES:
            raise refuse(eqn, "there is no rule for complex numbers")
        rule = lambda *flat: RULES[name](params, *(Complex(*flat[k : k + 2]) for k in range(0, len(flat), 2)))  # noqa: E731
        if name == "sqrt" and isinstance(pairs[0].im, np.ndarray) and not pairs[0].im.any():
            re = self.id(pairs[0].re)
            if (value := self.program.nodes[re].value) is not None and np.all(value.lo >= 0):
                return [Complex(self.program.unary("sqrt", re), pairs[0].im)]
        closed = jax.make_jaxpr(rule)(*(aval for aval in avals for _ in range(2)))
        outs = self.closed(closed, [part for pair in pairs for part in pair])
        return [Complex(*outs) if len(outs) == 2 else outs[0]]

    def transformed(self, eqn: Any, a: Complex, *, fft_type: Any, fft_lengths: Sequence[int]) -> Any:
        """A transform of the last axes; one to or from real numbers is so in the last axis alone."""
        p, kind = self.program, fft_type.name
        a = Complex(self.id(a.re), self.id(a.im))
        if math.prod(p.shape(a.re)) * max(fft_lengths) > LARGEST:
            raise refuse(eqn, f"it makes more than {LARGEST:,} products")
        axes = list(zip(range(len(p.shape(a.re)) - len(fft_lengths), len(p.shape(a.re))), fft_lengths, strict=True))
        whole = kind.replace("R", "")
        for axis, n in axes if kind.startswith("I") else axes[::-1]:
            a = transform(p, a, axis, n, kind if axis == axes[-1][0] else whole)
        return a.re if kind == "IRFFT" else a


def transform(p: Program, a: Complex, axis: int, n: int, kind: str) -> Complex:
    """The sums of a[k] exp(-+ 2 pi i j k / n) along an axis; an inverse divided by n."""
    rows = n // 2 + 1 if kind == "RFFT" else n
    steps = np.arange(rows)[:, None] * np.arange(p.shape(a.re)[axis]) % n
    c, s = cosines(steps, n), cosines(4 * steps - n, 4 * n)
    if kind == "IRFFT":  # what is left out are the conjugates of all but the first and the middle one
        twice = np.where(2 * np.arange(steps.shape[1]) % n == 0, 1.0, 2.0)[:, None]
        c, s = (Interval(m.lo * twice, m.hi * twice) for m in (c, s))

    def summed(m: Interval, x: int) -> int:
        order = [d for d in range(len(p.shape(x))) if d != axis]
        last = p.transpose(x, [*order, axis])
        *outer, size = p.shape(last)
        out = p.sum(p.mul(p.const(m), p.reshape(last, (*outer, 1, size))), [len(outer) + 1])
        return p.transpose(out, [int(d) for d in np.argsort([*order, axis])])

    if not kind.startswith("I"):
        return Complex(p.add(summed(c, a.re), summed(s, a.im)), p.sub(summed(c, a.im), summed(s, a.re)))
    over = p.unary("reciprocal", p.const(float(n)))
    re, im = p.sub(summed(c, a.re), summed(s, a.im)), p.add(summed(c, a.im), summed(s, a.re))
    return Complex(p.mul(re, over), p.mul(im, over))
