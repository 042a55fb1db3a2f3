"""Functions, and boxes in which they are defined, whose enclosures are tested: what JAX functions are made of."""

import jax
import jax.numpy as jnp
import numpy as np

T = np.linspace(0, 2, 7)
M4 = np.random.default_rng(5).standard_normal((4, 4))
M = np.random.default_rng(3).standard_normal((3, 3))


@jax.custom_jvp
def lying(x):
    return jnp.sum(x**2)


@lying.defjvp
def _(primals, tangents):
    return lying(*primals), -3.0 * jnp.sum(tangents[0])


@jax.custom_vjp
def lying_backwards(x):
    return jnp.sum(jnp.sin(x))


lying_backwards.defvjp(lambda x: (lying_backwards(x), None), lambda _, g: (jnp.full(3, 7.0) * g,))


def looped(x):
    return jax.lax.fori_loop(0, 4, lambda i, c: 0.5 * c + jnp.sin(c * x[i % 3]), x[0])


def scanned(x):
    def step(c, t):
        c = c + 0.1 * jnp.tanh(x[0] * c - t * x[1])
        return c, c * x[2]

    last, rows = jax.lax.scan(step, 1.0, T)
    return last + jnp.sum(rows**2)


def branched(x):
    return jax.lax.cond(x[0] > 0.3, lambda x: x[0] * x[1], lambda x: x[1] - x[2] ** 2, x)


def switched(x):
    return jax.lax.switch(jnp.int32(jnp.floor(x[0] + 2)), [lambda x: x[0], lambda x: x[1] * 2, lambda x: x[2] ** 2], x)


def huber(x):
    r = x[0] * jnp.exp(-x[1] * T) + x[2] - 0.5
    a = jnp.abs(r)
    return jnp.sum(jnp.where(a < 0.3, 0.5 * r * r, 0.3 * (a - 0.15)))


def convolved(x):
    """In two dimensions, with strides, dilations, groups and an order of axes of its own."""
    image = jnp.outer(x, jnp.arange(4.0) + 1).reshape(1, 2, 2, 3)
    window = jnp.cos(jnp.arange(8.0)).reshape(2, 2, 1, 2)
    out = jax.lax.conv_general_dilated(
        image, window, (2, 1), ((1, 2), (0, 1)), (1, 2), (2, 1), ("NCHW", "HWIO", "NHWC"), feature_group_count=2
    )
    return jnp.sum(jnp.sin(out))


def gaussian(x):
    cov = 9 * jnp.eye(3) + jnp.outer(x, x)
    return jax.scipy.stats.multivariate_normal.logpdf(jnp.ones(3), x, cov)


def pivoted(x):
    return jnp.sum(jnp.linalg.solve(jnp.asarray(M) + 9 * jnp.eye(3) + jnp.outer(x, x), x) ** 2)


def kernel(x):
    """The covariances of a Gaussian process, (7, 7)."""
    return jnp.exp(-((T[:, None] - T) ** 2) * (1 + x[0] ** 2)) + (0.5 + x[1] ** 2) * jnp.eye(7)


def blocks(x):
    a = 9 * jnp.eye(4) + jnp.outer(jnp.append(x, 1), jnp.arange(4.0) / 4)
    return jnp.linalg.solve(a, jnp.append(x, 1.0))[2] + jnp.linalg.inv(a[:2, :2])[0, 1]


KNOTS = np.array([-1.5, -0.75, -0.75, 0.0, 0.3, 1.0, 1.5])  # two are equal
CURVE = np.array([0.5, -1.0, 0.7, 0.2, 0.9, -0.4, 1.1])


def catmull_rom(v):
    """A smooth curve through points, by their places."""
    x, y = np.linspace(-2.5, 2.5, 6), np.array([1.0, -1.0, 0.5, 2.0, 0.0, 1.0])
    slope = np.gradient(y, x)
    i = jnp.clip(jnp.searchsorted(x, v, side="right") - 1, 0, 4)
    x, y, slope = map(jnp.asarray, (x, y, slope))
    h = x[i + 1] - x[i]
    t = (v - x[i]) / h
    low, high = (1 + 2 * t) * (1 - t) ** 2 * y[i], t**2 * (3 - 2 * t) * y[i + 1]
    return low + high + h * t * (1 - t) * ((1 - t) * slope[i] - t * slope[i + 1])


def cubic(v):
    """A spline by rows of coefficients, which meet but for rounding."""
    i = jnp.clip(jnp.searchsorted(KNOTS, v) - 1, 0, 5)
    c = jnp.asarray(np.cos(np.arange(24.0).reshape(6, 4)))[i]
    return c @ (v - jnp.asarray(KNOTS)[i]) ** jnp.arange(4)


def staircase(x):
    methods = enumerate(("scan", "scan_unrolled", "sort", "compare_all"), 1)
    left = sum(k * jnp.searchsorted(KNOTS, x, method=method) @ x for k, method in methods)
    return left + jnp.searchsorted(KNOTS, x.reshape(3, 1), side="right")[1, 0] * x[2]


ANYWHERE = {  # in [-2, 2]^3
    "sum": lambda x: jnp.sum(x),
    "square": lambda x: jnp.sum(x * x),
    "cube": lambda x: jnp.sum(x**3) - x[0] ** 5,
    "product": lambda x: x[0] * x[1] * x[2] - x[0],
    "prod": lambda x: jnp.prod(x + 1),
    "mean": lambda x: jnp.mean(x**4),
    "variance": lambda x: jnp.var(x),
    "exp": lambda x: jnp.exp(jnp.sum(x)),
    "expm1": lambda x: jnp.sum(jnp.expm1(x)),
    "exp2": lambda x: jnp.sum(jnp.exp2(x)),
    "sin": lambda x: jnp.sum(jnp.sin(5 * x)),
    "cos": lambda x: jnp.prod(jnp.cos(3 * x)),
    "tanh": lambda x: jnp.sum(jnp.tanh(x @ M)),
    "sinh": lambda x: jnp.sum(jnp.sinh(x)),
    "cosh": lambda x: jnp.sum(jnp.cosh(x)),
    "atan": lambda x: jnp.arctan(x[0] * x[1]) + x[2],
    "asinh": lambda x: jnp.sum(jnp.arcsinh(x)),
    "erf": lambda x: jnp.sum(jax.scipy.special.erf(x)),
    "erfc": lambda x: jnp.sum(jax.scipy.special.erfc(x)),
    "logistic": lambda x: jnp.sum(jax.nn.sigmoid(2 * x)),
    "softplus": lambda x: jnp.sum(jax.nn.softplus(x)),
    "relu": lambda x: jnp.sum(jax.nn.relu(x - 0.2)),
    "leaky": lambda x: jnp.sum(jax.nn.leaky_relu(x)),
    "elu": lambda x: jnp.sum(jax.nn.elu(x)),
    "gelu": lambda x: jnp.sum(jax.nn.gelu(x)),
    "silu": lambda x: jnp.sum(jax.nn.silu(x)),
    "logsumexp": lambda x: jax.nn.logsumexp(x),
    "softmax": lambda x: jax.nn.softmax(x)[0],
    "abs": lambda x: jnp.sum(jnp.abs(x - 0.3)),
    "max": lambda x: jnp.max(x) + jnp.maximum(x[0], x[1] ** 2),
    "min": lambda x: jnp.min(x * jnp.arange(1.0, 4)),
    "clip": lambda x: jnp.sum(jnp.clip(x, -0.5, 0.7) ** 2),
    "floor": lambda x: jnp.floor(x[0]) + x[1] ** 2,
    "ceil": lambda x: jnp.ceil(x[0] * 2) * x[1],
    "round": lambda x: jnp.round(x[0]) + x[2],
    "sign": lambda x: jnp.sign(x[0]) * x[1],
    "where": lambda x: jnp.where(x[0] > 0.1, x[1], x[2] ** 2),
    "huber": huber,
    "cond": branched,
    "switch": switched,
    "mod": lambda x: jnp.mod(x[0], 0.7) + x[1],
    "remainder": lambda x: jax.lax.rem(x[0], 0.5) * x[1],
    "norm": lambda x: jnp.linalg.norm(x - 3),
    "dot": lambda x: x @ M @ x,
    "rotated": lambda x: jnp.prod(jnp.cos(M @ (x - 0.5))) + jnp.sum((M[:, ::-1] @ (jnp.sin(M @ x))) ** 4),
    "rotated terms": lambda x: jnp.sum(jnp.exp(jnp.sin(M @ x)) * (M.T @ x)) - jnp.sum(jnp.abs(M @ x)),
    "repeated": lambda x: jnp.sum(jnp.sin(jnp.asarray(M)[:, [0, 1, 2, 0]] @ x[jnp.array([0, 0, 2, 1])])),
    "matmul": lambda x: jnp.sum((M @ jnp.outer(x, x)) ** 2),
    "einsum": lambda x: jnp.einsum("i,ij,j->", x, M, jnp.sin(x)),
    "cumsum": lambda x: jnp.sum(jnp.cumsum(x) ** 2),
    "cumlogsumexp": lambda x: (
        jax.lax.cumlogsumexp(x) @ jnp.array([1.0, 2.0, -1.0])
        + jnp.sum(jax.lax.cumlogsumexp(jnp.outer(x, x), axis=1, reverse=True) * M)
    ),
    "cummax": lambda x: jax.lax.cummax(x)[1] * x[2] + jax.lax.cummin(x, reverse=True)[0],
    "cumprod": lambda x: jnp.sum(jnp.cumprod(x)),
    "sort": lambda x: jnp.sort(x) @ jnp.arange(3.0),
    "sorted rows": lambda x: jnp.sum(jnp.sort(jnp.outer(x, x) + M, axis=0)[1:] * M[:2]) + jnp.sort(x**2)[1] * x[0],
    "trimmed": lambda x: jnp.sum(jnp.sort((x[0] + x[1] * T - jnp.sin(x[2] * T)) ** 2)[:4]),
    "roll": lambda x: jnp.sum(jnp.roll(x, 1) * x),
    "flip": lambda x: jnp.sum(x[::-1] * x**2),
    "gather": lambda x: jnp.sum(x[jnp.array([0, 0, 2])] ** 2),
    "set": lambda x: jnp.sum(x.at[1].set(2.0) * x),
    "add_at": lambda x: jnp.sum(jnp.zeros(2).at[jnp.array([0, 1, 1])].add(x) ** 2),
    "pad": lambda x: jnp.sum(jnp.pad(x, 2, constant_values=1.0) ** 2),
    "reshape": lambda x: jnp.sum(x.reshape(3, 1) * x.reshape(1, 3)),
    "stack": lambda x: jnp.sum(jnp.stack([x, x**2]) @ x),
    "tile": lambda x: jnp.sum(jnp.tile(x, 2) ** 2),
    "polyval": lambda x: jnp.polyval(jnp.array([1.0, -2.0, 0.5, 3.0]), x[0]) * x[1],
    "triu": lambda x: jnp.sum(jnp.triu(jnp.outer(x, x))),
    "rosenbrock": lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "scan": scanned,
    "loop": looped,
    "jit": jax.jit(lambda x: jnp.sum(jnp.cos(x) * x)),
    "remat": jax.checkpoint(lambda x: jnp.sum(jnp.sin(x) ** 2)),
    "custom_jvp": lying,
    "custom_vjp": lying_backwards,
    "stopped": lambda x: jnp.sum(jax.lax.stop_gradient(x) * x),
    "vmap": lambda x: jnp.sum(jax.vmap(lambda a: jnp.sin(a) * x[0])(x)),
    "atan2": lambda x: jnp.arctan2(x[0], x[1] + 3),
    "powers": lambda x: jnp.sum(x ** jnp.array([1.0, 2.0, 3.0])),
    "quadratic": lambda x: jnp.sum(3 * x**2 - 2 * x),
    "vertex": lambda x: (x[0] ** 2 - x[0]) * x[1],
    "sinc": lambda x: jnp.sin(x[0] + 3) / (x[0] + 3),
    "xor": lambda x: jnp.where((x[0] > 0) ^ (x[1] > 0), x[2], 1.0),
    "logic": lambda x: jnp.where((x[0] > 0) & ~(x[1] > 0.5) | (x[2] > 1), x[0], x[1]),
    "isnan": lambda x: jnp.where(jnp.isnan(x[0]), 1.0, x[1]),
    "nested": lambda x: jnp.exp(-jnp.sum(jnp.abs(jnp.sin(x) - jnp.cos(2 * x)))),
    "stddev": lambda x: jnp.std(x + jnp.array([0.0, 5.0, 10.0])),
    "ratio": lambda x: (x[0] + x[1]) / (5 + x[2]),
    "squared_sum": lambda x: (jnp.sum(x) - 0.5) ** 2,
    "select": lambda x: jnp.select([x[0] < 0, x[0] < 1], [x[1], x[2]], 0.5),
    "heaviside": lambda x: jnp.heaviside(x[0], 0.5) * x[1],
    "bits": lambda x: x[0] * 0.1 + x[1] * (1 / 3),
    "hypot": lambda x: jnp.hypot(x[0] + 3, x[1]),
    "log_softmax": lambda x: jax.nn.log_softmax(5 * x)[1] + jax.nn.softmax(jnp.outer(x, x), axis=0)[0, 2],
    "softmax of a matrix": lambda x: jnp.sum(jax.nn.softmax(jnp.outer(x, x), axis=(0, 1)) * M),
    "logaddexp": lambda x: jnp.logaddexp(x[0] * 30, x[1] * 20) + jnp.sum(jax.nn.logsumexp(jnp.outer(x, x), axis=1) * x),
    "weighted logsumexp": lambda x: jax.nn.logsumexp(x, b=jnp.array([0.2, 0.0, 3.0]), keepdims=True)[0],
    "another shift": lambda x: jnp.log(jnp.sum(jnp.exp(x - x[0]))) + x[1],
    "jnp.sinc": lambda x: jnp.sum(jnp.sinc(x)),
    "ratios": lambda x: jnp.sum(jnp.sin(x) / x + jnp.tanh(x) / x) + jnp.expm1(x[0]) / x[0] + jnp.sinh(-x[1]) / x[1],
    "more ratios": lambda x: (1 - jnp.exp(x[0])) / x[0] + jnp.arctan(x[1]) / x[1] + jax.scipy.special.erf(x[2]) / x[2],
    "entropy at zero": lambda x: jnp.sum(jax.scipy.special.entr(x)) + jax.scipy.special.xlogy(x[0], 3 * x[0]),
    "convolve": lambda x: jnp.sum(jnp.convolve(x, x) ** 2) + jnp.convolve(T, x, mode="valid")[2],
    "convolution": convolved,
    "cholesky": lambda x: jnp.sum(jnp.linalg.cholesky(9 * jnp.eye(3) + jnp.outer(x, x))),
    "gaussian": gaussian,
    "cho_solve": lambda x: jnp.sum(jax.scipy.linalg.cho_solve((jnp.triu(M + 5), False), x)),
    "solve": pivoted,
    "inverse": blocks,
    "det": lambda x: (
        jnp.linalg.det(jnp.asarray(M4) + jnp.outer(jnp.append(x, 1.0), jnp.append(x[::-1] ** 2, x[0])))
        + jnp.linalg.det(jnp.outer(x, x) + M)
    ),
    "slogdet": lambda x: (
        jnp.linalg.slogdet(4 * jnp.eye(7) + M4[0, 1] * jnp.outer(jnp.sin(T + x[0]), x[1] + T))[1]
        + jnp.linalg.slogdet(9 * jnp.eye(2) + jnp.outer(x[:2], x[1:]))[0] * x[2]
    ),
    "dets": lambda x: (
        jnp.sum(jax.vmap(lambda v: jnp.linalg.det(M4 * v + jnp.eye(4)))(x))
        + jnp.linalg.det(jnp.stack([M4 * x[0], M4 + x[1] * jnp.eye(4)]))[1]
    ),
    "inverse of four rows": lambda x: jnp.linalg.inv(9 * jnp.eye(4) + x[0] * M4 + x[1] * M4.T)[2, 1] * x[2],
    "top_k": lambda x: jax.lax.top_k(x, 2)[0] @ jnp.array([1.0, x[1]]),
    "table": lambda x: jnp.asarray(T)[(x[0] + 2).astype(int)] * x[1] + x[2],
    "table of rows": lambda x: jnp.sum(jnp.asarray(M)[jnp.int32(x[:2] + 0.5)] @ x),
    "table in the plane": lambda x: jnp.sum(jnp.asarray(M)[x.astype(int), x[::-1].astype(int)] * x),
    "whole numbers": lambda x: ((x * 4).astype(int) // 3 - (x * 5).astype(int) % 4) @ x,
    "whole numbers that wrap": lambda x: (x[0] * 60).astype(jnp.int8) * jnp.int8(3) + x[1],
    "argmax": lambda x: jnp.asarray(T)[jnp.argmax(x)] + x[1] * jnp.argmin(x**2),
    "median": lambda x: jnp.median(x) * x[0] + jnp.quantile(x, 0.3),
    "one hot": lambda x: jax.nn.one_hot((x[0] + 2).astype(int), 5) @ T[:5] * x[1],
    "modulo x": lambda x: jnp.mod(x[0], x[1] + 3) + jax.lax.rem(x[1], x[2] + 4),
    "interp": lambda x: (
        jnp.interp(x[0], KNOTS, CURVE) * x[1] + jnp.sum(jnp.interp(T * x[2] - 1, KNOTS[2:], CURVE[2:]) ** 2)
    ),
    "interp beyond": lambda x: jnp.sum(jnp.interp(x, KNOTS, CURVE, left=-3.0, right=0.0) * x),
    "interp of a curve of x": lambda x: jnp.interp(0.4, jnp.array([0.0, 0.3, 1.0]), x) * x[0],
    "interp by lanes": lambda x: jnp.sum(jax.vmap(lambda v: jnp.interp(v, KNOTS, CURVE))(x) ** 2),
    "interp twice": lambda x: jnp.interp(jnp.interp(x[0] * x[1], KNOTS, CURVE) + x[2], KNOTS, CURVE),
    "interp of a root": lambda x: jnp.interp(jnp.sqrt(x[0] + 2), KNOTS, CURVE) * x[1],
    "catmull-rom": lambda x: catmull_rom(x[0]) * x[1] + catmull_rom(x[2]) ** 2,
    "catmull-rom by lanes": lambda x: jnp.sum(catmull_rom(x) * x),
    "cubic": lambda x: cubic(x[0]) + cubic(x[1]) * x[2],
    "cubic by lanes": lambda x: jnp.sum(jax.vmap(cubic)(x)),
    "staircase": staircase,
    "digitize": lambda x: jnp.asarray(T)[jnp.digitize(x[0], KNOTS[2:])] * x[1],
    "interp of a period": lambda x: jnp.interp(x[0], KNOTS[[4, 0, 1]], CURVE[:3], period=1.7) * x[1],
    "angles": lambda x: jnp.arctan2(x[0], x[1]) ** 2 + jnp.arctan2(jnp.sin(3 * x[1]), jnp.cos(3 * x[1])) * x[2],
    "fft of every norm": lambda x: (
        jnp.fft.fft(x * x[0], norm="ortho").imag[1] + jnp.abs(jnp.fft.rfft(x, norm="forward"))[1] ** 2
    ),
    "a kernel": lambda x: (
        jnp.ones(7) @ jnp.linalg.solve(kernel(x), jnp.sin(T + x[2])) + jnp.linalg.slogdet(kernel(x))[1]
    ),
    "an inverse": lambda x: jnp.linalg.inv(kernel(x))[2] @ T * x[1],
    "bessel": lambda x: (  # where exp|x| of JAX's i0 has no kink of its own
        jax.scipy.special.i0(x[0] * x[1] + 0.1234)
        + jax.scipy.special.i1(x[2] + 0.1234) * x[0]
        + jax.scipy.special.i0e(2 * x[1])
        - x[2] * jax.scipy.special.i1e(2 * x[0] + x[1])
    ),
    "erf_inv": lambda x: jnp.sum(jax.scipy.special.erfinv(x / 3)) + jax.scipy.special.ndtri(0.5 + x[0] / 5),
    "power spectrum": lambda x: (
        jnp.abs(jnp.fft.rfft(x[0] * T**2 + jnp.sin(x[1] * T) + x[2] + T)) ** 2 @ jnp.array([0, 1.0, -1, 2])
    ),
    "fft": lambda x: jnp.fft.fft(jnp.outer(x, T), axis=0).imag[1] @ T + jnp.fft.fft(x, 5).real @ jnp.arange(5.0) * x[0],
    "filtered": lambda x: jnp.sum(jnp.fft.irfft(jnp.fft.rfft(x[0] * T + x[1]) * jnp.exp(-1j * jnp.arange(4)), 7) ** 2),
    "inverse fft": lambda x: jnp.fft.ifft(jnp.fft.fft(x) ** 2 / (x[0] + 3j)).real @ x + jnp.fft.irfft(x, 4)[1],
    "fft in the plane": lambda x: jnp.fft.irfft2(jnp.fft.rfft2(jnp.outer(x, x)) * 1j, (3, 3))[0] @ x,
    "a complex matrix": lambda x: jnp.real(jnp.conj(jnp.exp(1j * M) @ x) @ (x[0] * jnp.exp(1j * x))),
    "complex numbers": lambda x: (
        jnp.abs(jnp.sum(x * jnp.exp(1j * jnp.arange(3) * x[0])) - 3 - 9j)
        + jnp.real(jax.lax.complex(x, x[::-1] ** 2)[1] ** 3 * jnp.conj(1 + 2j * x[0]))
    ),
    "piecewise": lambda x: jnp.piecewise(x[0], [x[0] < -1, x[0] > 0.5], [lambda v: v**2, lambda v: 3 * v]) * x[1],
}
POSITIVE = {  # in [0.1, 3]^3
    "log": lambda x: jnp.sum(jnp.log(x)),
    "log1p": lambda x: jnp.sum(jnp.log1p(x)),
    "sqrt": lambda x: jnp.sum(jnp.sqrt(x)),
    "rsqrt": lambda x: jnp.sum(jax.lax.rsqrt(x)),
    "cbrt": lambda x: jnp.sum(jnp.cbrt(x)),
    "power": lambda x: jnp.sum(x**1.7),
    "negative power": lambda x: jnp.sum(x**-2) + x[0] ** -0.3,
    "x^y": lambda x: x[0] ** x[1] + x[2],
    "xlogx": lambda x: jnp.sum(x * jnp.log(x)),
    "reciprocal": lambda x: jnp.sum(1 / x),
    "lennard-jones": lambda x: jnp.sum(x**-12 - x**-6),
    "log2": lambda x: jnp.sum(jnp.log2(x)),
    "lgamma": lambda x: jnp.sum(jax.scipy.special.gammaln(x)),
    "tan": lambda x: jnp.sum(jnp.tan(0.4 * x)),
    "log10": lambda x: jnp.log10(x[0]) * x[1],
    "acosh": lambda x: jnp.sum(jnp.arccosh(x + 1)),
    "entropy": lambda x: -jnp.sum(x / jnp.sum(x) * jnp.log(x / jnp.sum(x))),
    "asin": lambda x: jnp.sum(jnp.arcsin(x / 4)),
    "acos": lambda x: jnp.sum(jnp.arccos(x / 4)),
    "atanh": lambda x: jnp.sum(jnp.arctanh(x / 4)),
    "incomplete gamma": lambda x: (
        jax.scipy.special.gammainc(jnp.array([0.5, 1.0, 2.5]), x) @ x + jax.scipy.stats.chi2.sf(3 * x[0], 3.0)
    ),
    "incomplete beta": lambda x: jnp.sum(jax.scipy.special.betainc(jnp.array([0.5, 1.0, 2.5]), 2.0, x / 3.5) * x),
    "digamma": lambda x: jnp.sum(jax.scipy.special.digamma(x)),
    "geometric": lambda x: jnp.prod(x) ** (1 / 3),
    "relative entropy": lambda x: jnp.sum(x * jnp.log(x / jnp.array([0.2, 0.3, 0.5]))) + jnp.log1p(x[0]) / x[0],
}
FUNCTIONS = {name: (fun, -2.0, 2.0) for name, fun in ANYWHERE.items()} | {
    name: (fun, 0.1, 3.0) for name, fun in POSITIVE.items()
}
