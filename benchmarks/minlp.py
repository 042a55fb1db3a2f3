"""Small mixed-integer problems of MINLPLib under their own names, with their published optima.

Statements are those of the library (https://www.minlplib.org). A variable that has no bound there has the one that the
rows imply; variables of nvs05 that equations define are put in. Rows are g(x) <= 0 and h(x) = 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.numpy import exp, log, sqrt

import jaxglobal as jg


class Problem(NamedTuple):
    """One problem.

    Attributes:
        fun: of x, (n,).
        bounds: (n, 2)
        whole: (n,)
        most: rows that are at most 0.
        equal: rows that are 0.
        best: the published optimum.
    """

    fun: Callable[[Any], Any]
    bounds: list[tuple[float, float]]
    whole: list[bool]
    most: Callable[[Any], list[Any]] | None
    equal: Callable[[Any], list[Any]] | None
    best: float

    @property
    def constraints(self) -> list[jg.Constraint]:
        """As they are given to `minimize`."""
        told = []
        if self.most is not None:
            told.append(jg.Constraint(lambda x: jnp.stack(self.most(x)), upper=0.0))
        if self.equal is not None:
            told.append(jg.Constraint(lambda x: jnp.stack(self.equal(x)), 0.0, 0.0))
        return told


def mixed(
    fun: Any, whole: list[tuple[float, float]], rest: list[tuple[float, float]], most: Any, equal: Any, best: float
) -> Problem:
    """A problem whose first variables are whole."""
    return Problem(fun, [*whole, *rest], [True] * len(whole) + [False] * len(rest), most, equal, best)


BIG, BIT = (0, 200), (0, 1)


def quadratic(matrix: Any, slope: Any) -> Callable[[Any], Any]:
    """x'Qx + b'x, Q by its lower triangle: of squares and of products."""
    lower = np.zeros((len(matrix), len(matrix)))
    for i, row in enumerate(matrix):
        lower[i, : i + 1] = row
    return lambda x: x @ jnp.asarray(lower) @ x + jnp.asarray(slope, float) @ x


def welded(x):
    """nvs05, of i1, i2, x3, x4: its value and rows."""
    a, b, c, d = x
    R = sqrt(0.25 * d * d + (0.5 * a + 0.5 * c) ** 2)
    t = 4243.28147100424 / (c * d)
    s = 0.707213578500707 * (84000 + 3000 * d) * R / (c * d * (d * d / 12 + (0.5 * a + 0.5 * c) ** 2))
    stress = sqrt(t * t + t * s * d / R + s * s)
    load = 0.0204744897959184 * sqrt(1e15) * a * b**3 * (1 - 0.0282346219657891 * a)
    rows = [stress / 13600 - 1, 504000 / (b * a * a) / 30000 - 1, c - b, 1 - load / 6000, 0.21952 / (b * a**3) - 0.25]
    return 1.10471 * c * c * d + 0.04811 * a * b * (14 + d), rows


def nvs02_rows(x):
    a, b, c, d, e, *y = x
    return [
        y[0] - 85.334407 - (0.0056858 * b * e + 0.0006262 * a * d - 0.0022053 * c * e),
        y[1] - 80.51249 - (0.0071317 * b * e + 0.0029955 * a * b + 0.0021813 * c * c),
        y[2] - 9.300961 - (0.0047026 * c * e + 0.0012547 * a * c + 0.0019085 * c * d),
    ]


def himmelblau(x):
    return 5.3578547 * x[2] ** 2 + 0.8356891 * x[0] * x[4] + 37.293239 * x[0]


FIRST = [[-9], [-10, -8], [-6, -10, -5], [-10, -6, -2, -7], [0, -2, 0, 0, -7]]
SECOND = [[-6], [-8, -6], [-2, -2, -4], [2, 10, 0, -8], [-2, -6, 0, 6, 7]]
THIRD = [[-9], [2, -6], [0, 2, -8], [4, 4, -2, -6], [-6, -2, 0, 4, 6]]
FOURTH = [[-8], [-2, -4], [-2, -4, -9], [6, 2, -2, -7], [-6, -4, -2, 6, 6]]
FIFTH = [[-4], [2, -5], [-6, 0, -8], [-2, 6, -2, -6], [-4, 2, -6, -8, -7]]
VALUE = [[7], [0, 6], [-6, 4, 8], [2, 0, 2, 6], [-4, -2, -6, 0, 7]]


def gupta(n: int, slope: list[float], rows: list[Any], limits: list[float], best: float) -> Problem:
    """nvs10 to nvs13: whole variables under quadratic rows that are at least the limits."""
    sides = [quadratic(row[:n], np.zeros(n)) for row in rows]
    most = lambda x: [low - side(x) for low, side in zip(limits, sides, strict=True)]  # noqa: E731
    return mixed(quadratic(VALUE[:n], slope), [BIG] * n, [], most, None, best)


def ex1223(x):
    y, z = x[:4], x[4:]  # binaries; x1 ... x7
    a, b, c, d, e, f, _ = z
    return [
        a + b + c + y[0] + y[1] + y[2] - 5, f * f + a * a + b * b + c * c - 5.5, a + y[0] - 1.2, b + y[1] - 1.8,
        c + y[2] - 2.5, a + y[3] - 1.2, e * e + b * b - 1.64, f * f + c * c - 4.25, e * e + c * c - 4.64,
    ]  # fmt: skip


def ex1223_value(z):
    a, b, c, d, e, f, g = z
    return (d - 1) ** 2 + (e - 2) ** 2 + (f - 1) ** 2 - log(1 + g) + (a - 1) ** 2 + (b - 2) ** 2 + (c - 3) ** 2


def short(x):
    """ex1223b, its seven continuous variables put in."""
    return jnp.concatenate([x[4:], x[:4]])


def reliable_rows(x):
    y = x[:8]
    return [
        -log(1 - x[10]) - 3.91202300542815 * y[6] - 2.81341071676004 * y[7], 1 - y[0] - y[1] - y[2],
        1 - y[3] - y[4] - y[5], 1 - y[6] - y[7], jnp.array([3.0, 1, 2, 3, 2, 1, 3, 2]) @ y - 10,
    ]  # fmt: skip


def reliable_equal(x):
    y = x[:8]
    return [
        -log(1 - x[8]) - 2.30258509299405 * y[0] - 1.6094379124341 * y[1] - 1.89711998488588 * y[2],
        -log(1 - x[9]) - 2.99573227355399 * y[3] - 1.6094379124341 * y[4] - 1.89711998488588 * y[5],
    ]


ONE_OF = jnp.array([1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 12.0])
KNAPSACK = np.array(
    [
        [-2, -6, -1, 0, -3, -3, -2, -6, -2, -2], [6, -5, 8, -3, 0, 1, 3, 8, 9, -3], [-5, 6, 5, 3, 8, -8, 9, 2, 0, -9],
        [9, 5, 0, -9, 1, -8, 3, -9, -9, -3], [-8, 7, -4, -5, -9, 1, -7, -1, 3, -2],
        [-7, -5, -2, 0, -6, -6, -7, -6, 7, 7],
        [1, -3, -3, -4, -1, 0, -4, 1, 6, 0], [1, -2, 6, 9, 0, -7, 9, -9, -6, 4], [-4, 6, 7, 2, 2, 0, 6, 6, -7, 4],
        [1] * 10, [-1] * 10,
    ], float,
)  # fmt: skip
LIMITS = np.array([-4.0, 22, -6, -23, -12, -3, 1, 12, 15, 9, -1])
GREAT = np.array(
    [
        [8, 7, 9, 0, 9, 8, 2, 0, 4, 1], [3, 4, 6, 9, 0, 6, 9, 1, 0, 1], [0, 2, 1, 5, 5, 0, 7, 4, 2, 0],
        [5, 0, 7, 1, 7, 5, 0, 7, 9, 5], [1] * 10,
    ], float,
)  # fmt: skip
SQUARES = np.array([0.00055, 0.0019, 0.0002, 0.00095, 0.0046, 0.0035, 0.00315, 0.00475, 0.0048, 0.003])
SLOPES = np.array([-0.0583, 0.2318, -0.0108, 0.1634, -0.138, 0.357, -0.1953, -0.361, 0.1824, -0.162])


def linear(A: np.ndarray, b: np.ndarray) -> Callable[[Any], list[Any]]:
    """Rows A x - b."""
    return lambda x: list(jnp.asarray(A) @ x - jnp.asarray(b))


PROBLEMS: dict[str, Problem] = {
    "nvs01": mixed(
        lambda x: 0.04712385 * x[1] * sqrt(900 + x[0] ** 2), [BIG] * 2, [(0, 100)],
        lambda x: [x[2] - 296087.631843 * (0.01 + 0.0625 * x[1] ** 2) / (7200 + x[0] ** 2)],
        lambda x: [420.169404664517 * sqrt(900 + x[0] ** 2) - x[2] * x[0] * x[1]], 12.46966882,
    ),
    "nvs02": mixed(
        lambda x: 5.9207859 + 9.99999999999999e-5 * himmelblau(x), [BIG] * 5, [(0, 92), (90, 110), (20, 25)], None,
        nvs02_rows, 5.96418452,
    ),
    "nvs03": mixed(
        lambda x: (x[0] - 8) ** 2 + (x[1] - 2) ** 2, [BIG] * 2, [],
        lambda x: [0.1 * x[0] ** 2 - x[1], 0.333333333333333 * x[0] + x[1] - 4.5], None, 16.0,
    ),
    "nvs04": mixed(
        lambda x: 100 * (0.5 + x[1] - (0.6 + x[0]) ** 2) ** 2 + (0.4 - x[0]) ** 2, [BIG] * 2, [], None, None, 0.72,
    ),
    "nvs05": mixed(
        lambda x: welded(x)[0], [(1, 200)] * 2, [(0.01, 200)] * 2, lambda x: welded(x)[1], None, 5.47093411,
    ),
    "nvs06": mixed(
        lambda x: 1.2 + 0.1 * (
            x[0] ** 2 + (1 + x[1] ** 2) / x[0] ** 2 + (100 + (x[0] * x[1]) ** 2) / (x[0] * x[1]) ** 4
        ), [(1, 200)] * 2, [], None, None, 1.7703125,
    ),
    "nvs07": mixed(
        lambda x: 2 * x[1] ** 2 + x[0] + 5 * x[2], [BIG] * 3, [],
        lambda x: [10 - x[1] * x[2] ** 2 - 5 * x[2] - 3 * x[0], 2.66 - x[0] + x[2]], None, 4.0,
    ),
    "nvs08": mixed(
        lambda x: (x[0] - 3) ** 2 + (x[1] - 2) ** 2 + (4 + x[2]) ** 2, [BIG] * 2, [(0.001, 200)],
        lambda x: [
            10 - sqrt(x[2]) - x[0] - 2 * x[1], -3 - 0.240038406144983 * x[0] ** 2 + x[1] - 0.255036980362153 * x[2],
            -12 - x[1] ** 2 + x[2] ** -3.5 + 4 * x[0],
        ], None, 23.44972735,
    ),
    "nvs09": mixed(
        lambda x: jnp.sum(log(x - 2) ** 2 + log(10 - x) ** 2) - jnp.prod(x) ** 0.2, [(3, 9)] * 10, [], None, None,
        -43.13433692,
    ),
    "nvs10": mixed(
        lambda x: 7 * x[0] ** 2 + 6 * x[1] ** 2 - 35 * x[0] - 80.4 * x[1], [BIG] * 2, [],
        lambda x: [
            9 * x[0] ** 2 + 10 * x[0] * x[1] + 8 * x[1] ** 2 - 583,
            6 * x[0] ** 2 + 8 * x[0] * x[1] + 6 * x[1] ** 2 - 441,
        ], None, -310.8,
    ),
    "nvs11": gupta(3, [-15.8, -93.2, -63], [FIRST, SECOND, THIRD], [-1000, -550, -340], -431.0),
    "nvs12": gupta(4, [-20, -93.2, -67.2, -36.6], [FIRST, SECOND, THIRD, FOURTH], [-1100, -440, -310, -460], -481.2),
    "nvs13": gupta(
        5, [12, -77.2, -19.2, -36.6, -69.4], [FIRST, SECOND, THIRD, FOURTH, FIFTH], [-1430, -1150, -850, -1125, -1030],
        -585.2,
    ),
    "nvs14": mixed(
        lambda x: himmelblau(x) - 40792.141, [BIG] * 5, [(0, 92), (90, 110), (20, 25)], None, nvs02_rows, -40358.15477,
    ),
    "nvs15": mixed(
        lambda x: 9 + 2 * x[0] ** 2 - 8 * x[0] + 2 * x[1] ** 2 - 6 * x[1] + x[2] ** 2 - 4 * x[2] + 2 * x[0] * x[1]
        + 2 * x[0] * x[2], [BIG] * 3, [], lambda x: [x[0] + x[1] + 2 * x[2] - 3], None, 1.0,
    ),
    "ex1221": mixed(
        lambda x: 2 * x[3] + 3 * x[4] + 1.5 * x[0] + 2 * x[1] - 0.5 * x[2], [BIT] * 3, [(0, 10)] * 2,
        lambda x: [x[3] + x[0] - 1.6, 1.333 * x[4] + x[1] - 3, x[2] - x[0] - x[1]],
        lambda x: [x[3] ** 2 + x[0] - 1.25, x[4] ** 1.5 + 1.5 * x[1] - 3], 7.66718007,
    ),
    "ex1222": mixed(
        lambda x: 0.8 + 5 * (x[1] - 0.5) ** 2 - 0.7 * x[0], [BIT], [(0.2, 1), (-2.22554, -1)],
        lambda x: [-exp(x[1] - 0.2) - x[2], x[2] + 1.1 * x[0] + 1, x[1] - 1.2 * x[0]], None, 1.07654308,
    ),
    "ex1223": mixed(
        lambda x: ex1223_value(x[4:]), [BIT] * 4, [(0, 10)] * 3 + [(0, 1)] * 4, ex1223,
        lambda x: list(x[7:] - x[:4]), 4.5795824,
    ),
    "ex1223a": mixed(
        lambda x: 6 + (x[4] - 1) ** 2 + (x[5] - 2) ** 2 + (x[6] - 3) ** 2 - x[0] - 3 * x[1] - x[2]
        - 0.693147180559945 * x[3], [BIT] * 4, [(0, 10)] * 3,
        lambda x: [
            x[4] + x[5] + x[6] + x[0] + x[1] + x[2] - 5, x[4] ** 2 + x[5] ** 2 + x[6] ** 2 + x[2] - 5.5,
            x[4] + x[0] - 1.2, x[5] + x[1] - 1.8, x[6] + x[2] - 2.5, x[4] + x[3] - 1.2, x[5] ** 2 + x[1] - 1.64,
            x[6] ** 2 + x[2] - 4.25, x[6] ** 2 + x[1] - 4.64,
        ], None, 4.5795824,
    ),
    "ex1223b": mixed(
        lambda x: ex1223_value(short(x)), [BIT] * 4, [(0, 10)] * 3,
        lambda x: ex1223(jnp.concatenate([x[:4], short(x)])), None, 4.5795824,
    ),
    "ex1224": mixed(
        lambda x: -x[8] * x[9] * x[10], [BIT] * 8, [(0, 0.997), (0, 0.9985), (0, 0.9988)], reliable_rows,
        reliable_equal, -0.9434705,
    ),
    "ex1225": mixed(
        lambda x: 7 * x[6] + 10 * x[7], [BIT] * 6, [(1, 5)] * 2,
        lambda x: [
            x[6] ** 1.2 * x[7] ** 1.7 - 7 * x[6] - 9 * x[7] + 24, 5 - x[6] - 2 * x[7], x[7] - 3 * x[6] - 1,
            4 * x[6] - 3 * x[7] - 11, x[0] + x[2] - 1, x[3] + x[5] - 1, x[1] + x[2] - 1, x[4] + x[5] - 1,
        ], lambda x: [x[6] - x[0] - 2 * x[1] - 4 * x[2] - 1, x[7] - x[3] - 2 * x[4] - 4 * x[5] - 1], 31.0,
    ),
    "ex1226": mixed(
        lambda x: 3 * x[4] - 5 * x[3], [BIT] * 3, [(1, 10), (1, 6)],
        lambda x: [
            8 * x[3] - 2 * x[3] ** 0.5 * x[4] ** 2 + 11 * x[4] + 2 * x[4] ** 2 - 2 * x[4] ** 0.5 - 39, x[3] - x[4] - 3,
            3 * x[3] + 2 * x[4] - 24, x[1] + x[2] - 1,
        ], lambda x: [x[4] - x[0] - 2 * x[1] - 4 * x[2] - 1], -17.0,
    ),
    "st_e13": mixed(
        lambda x: x[0] + 2 * x[1], [BIT], [(0, 1.6)], lambda x: [1.25 - x[1] ** 2 - x[0], x[0] + x[1] - 1.6], None, 2.0,
    ),
    "st_e27": mixed(
        lambda x: 2 + 4 * x[2] - x[2] ** 2 - x[3] ** 2 + 2 * x[3] + 2 * x[0] + 2 * x[1], [BIT] * 2, [(0, 6), (0, 5)],
        lambda x: [
            3 * x[3] - x[2] - 5, 2 * x[2] - x[3] - 5, x[3] - 2 * x[2], x[2] - 3 * x[3], x[2] - 6 * x[0],
            x[3] - 5 * x[1],
        ], None, 2.0,
    ),
    "st_e36": mixed(
        lambda x: 2 * x[1] ** 2 + 0.008 * x[0] ** 3 - 3.2 * x[1] * x[0] - 2 * x[0], [(15, 25)], [(3, 5.5)],
        lambda x: [0.6 * x[0] - 0.2 * x[1] * x[0] + exp(x[1] - 3) - 1],
        lambda x: [
            (x[1] ** 2 - 6 * x[1] + 0.8 * x[0] - 11)
            * ((3.25 * x[1] - 0.62 * x[0]) ** 2 + (0.2 * x[0] + x[1] - 6.35) ** 2)
            * ((3.55 * x[1] - 0.66 * x[0]) ** 2 + (0.2 * x[0] + x[1] - 6.85) ** 2)
            * ((3.6 * x[1] - 0.7 * x[0]) ** 2 + (0.2 * x[0] + x[1] - 7.1) ** 2)
            * ((3.8 * x[1] - 0.82 * x[0]) ** 2 + (0.2 * x[0] + x[1] - 7.9) ** 2)
        ], -246.0,
    ),
    "st_e38": mixed(
        lambda x: 0.0389 * x[0] * x[2] * x[3] + 0.1111312 * x[1] * x[2] ** 2 + 0.012348046875 * x[0] ** 2 * x[3]
        + 0.0775 * x[0] ** 2 * x[2], [(18, 100), (10, 100)], [(40, 80), (20, 60)],
        lambda x: [
            0.0193 * x[2] - 0.0625 * x[0], 0.00954 * x[2] - 0.0625 * x[1],
            1296000 - 3.1415927 * (x[2] ** 2 * x[3] + 1.33333333333333 * x[2] ** 3),
        ], None, 7197.727149,
    ),
    "st_e40": mixed(
        lambda x: 2 * x[0] + x[1] + 1.4142135 * x[2], [(1, 12)] * 3, [(0, 62)],
        lambda x: [
            1.7317 * x[1] + 1.03366 * x[2] - x[3], 0.634 * x[0] + 2.828 * x[2] - x[3], 0.5 * x[0] - 2 * x[1] - x[3],
            2 * x[1] - 0.5 * x[0] - x[3],
        ],
        lambda x: [
            x[3] - 0.15 * x[0] * x[1] - 0.14142135 * x[1] * x[2] - 0.1319 * x[0] * x[2],
            *(jnp.prod(x[i] - ONE_OF) for i in range(3)),
        ], 30.4142135,
    ),
    "st_miqp1": mixed(
        lambda x: 50 * x @ x + jnp.array([42, 44, 45, 47, 47.5]) @ x, [BIT] * 5, [],
        lambda x: [40 - jnp.array([20.0, 12, 11, 7, 4]) @ x], None, 281.0,
    ),
    "st_miqp2": mixed(
        lambda x: 4 * x[2] ** 2 - 3 * x[2] + 2 * x[3] ** 2 - 10 * x[3] + 4 * x[0] + 5 * x[1],
        [BIT, BIT, (0, 10), (0, 20)], [], lambda x: [x[2] - 10 * x[0], x[3] - 20 * x[1], 5 - x[2] - x[3]], None, 2.0,
    ),
    "st_miqp3": mixed(
        lambda x: 6 * x[0] ** 2 - 3 * x[1], [(0, 3), (0, 12)], [], lambda x: [x[1] - 4 * x[0]], None, -6.0,
    ),
    "st_miqp4": mixed(
        lambda x: 5 * x[3] ** 2 + 2 * x[3] + 5 * x[4] ** 2 + 3 * x[4] + 10 * x[5] ** 2 - 500 * x[5] + 10 * x[0]
        - 4 * x[1] + 5 * x[2], [BIT] * 3, [(0, 5), (0, 10), (0, 30)],
        lambda x: [x[5] - x[3] - x[4], x[3] - 5 * x[0], x[4] - 10 * x[1], x[5] - 30 * x[2]], None, -4574.0,
    ),
    "st_test1": mixed(
        lambda x: 50 * (x[0] ** 2 + x[1] ** 2 + x[3] ** 2 + x[4] ** 2)
        + jnp.array([42, -44, 45, -47, -47.5]) @ x, [BIT] * 5, [], lambda x: [jnp.array([20.0, 12, 11, 7, 4]) @ x - 40],
        None, 0.0,
    ),
    "st_test2": mixed(
        lambda x: 0.5 * x[0] ** 2 + 10.5 * x[0] + 0.25 * x[1] ** 2 - 7.5 * x[1] + 1.5 * x[2] ** 2 - 3.5 * x[2]
        + 0.5 * x[3] ** 2 + 2.5 * x[3] + 0.5 * x[4] ** 2 - 1.5 * x[4] + 10 * x[5], [BIT] * 5 + [(0, 20)], [],
        lambda x: [jnp.array([6.0, 3, 3, 2, 1]) @ x[:5] - 6.5, 10 * x[0] + 10 * x[2] + x[5] - 20], None, -9.25,
    ),
    "st_test5": mixed(
        lambda x: 5 * x[:7] @ x[:7] - jnp.array([20.0, 80, 20, 50, 60, 90, 0]) @ x[:7] + 10 * jnp.sum(x[7:]),
        [BIT] * 10, [], linear(KNAPSACK, LIMITS), None, -110.0,
    ),
    "st_test6": mixed(
        lambda x: 50 * x @ x + jnp.array([48.0, 42, 48, 45, 44, 41, 47, 42, 45, 46]) @ x, [BIT] * 10, [],
        linear(KNAPSACK[:5], LIMITS[:5]), None, 471.0,
    ),
    "st_testgr1": mixed(
        lambda x: jnp.asarray(SQUARES) @ (x * x) + jnp.asarray(SLOPES) @ x, [(0, 100)] * 10, [],
        linear(GREAT, np.array([530.0, 395, 350, 405, 200])), None, -12.8116,
    ),
    "gbd": mixed(
        lambda x: 5 * x[3] ** 2 + x[0] + x[1] + x[2], [BIT] * 3, [(0.2, 1)],
        lambda x: [
            3 * x[3] - x[0] - x[1], 0.1 * x[1] + 0.25 * x[2] - x[3], 2 - x[0] - x[1] - x[2], 2 - x[0] - x[1] - 2 * x[2],
        ], None, 2.2,
    ),
    "gear4": mixed(
        lambda x: x[4] + x[5], [(12, 60)] * 4, [(0, 1.1e5), (0, 2.5e7)], None,
        lambda x: [144279.32477276 - 1e6 * x[0] * x[1] / (x[2] * x[3]) - x[4] + x[5]], 1.64342847,
    ),
    "synthes1": mixed(
        lambda x: 10 - 18 * log(1 + x[4]) - 19.2 * log(1 + x[3] - x[4]) + 10 * x[3] - 7 * x[5] + 5 * x[0] + 6 * x[1]
        + 8 * x[2], [BIT] * 3, [(0, 2), (0, 2), (0, 1)],
        lambda x: [
            0.8 * x[5] - 0.8 * log(1 + x[4]) - 0.96 * log(1 + x[3] - x[4]),
            x[5] + 2 * x[2] - 2 - log(1 + x[4]) - 1.2 * log(1 + x[3] - x[4]), x[4] - x[3], x[4] - 2 * x[0],
            x[3] - x[4] - 2 * x[1], x[0] + x[1] - 1,
        ], None, 6.00975891,
    ),
    "synthes2": mixed(
        lambda x: 140 + exp(x[5]) - 10 * x[5] + exp(0.833333 * x[6]) - 15 * x[6] - 60 * log(1 + x[8] + x[9]) + 15 * x[8]
        + 5 * x[9] - 15 * x[7] - 20 * x[10] + 5 * x[0] + 8 * x[1] + 6 * x[2] + 10 * x[3] + 6 * x[4],
        [BIT] * 5, [(0, 2)] * 3 + [(0, 10), (0, 5), (0, 3)],
        lambda x: [
            -log(1 + x[8] + x[9]), exp(x[5]) - 10 * x[0] - 1, exp(0.833333 * x[6]) - 10 * x[1] - 1,
            1.25 * x[7] - 10 * x[2], x[8] + x[9] - 10 * x[3], -2 * x[7] + 2 * x[10] - 10 * x[4],
            -x[5] - x[6] - 2 * x[7] + x[8] + 2 * x[10], -x[5] - x[6] - 0.75 * x[7] + x[8] + 2 * x[10], x[7] - x[10],
            2 * x[7] - x[8] - 2 * x[10], x[9] - 0.5 * x[8], 0.2 * x[8] - x[9], x[3] + x[4] - 1,
        ], lambda x: [x[0] + x[1] - 1], 73.03531253,
    ),
    "procsel": mixed(
        lambda x: 1.8 * x[3] + 1.8 * x[4] + x[5] + 1.2 * x[6] + 7 * x[7] - 11 * x[9] + 3.5 * x[0] + x[1] + 1.5 * x[2],
        [BIT] * 3, [(0, 2.1), (0, 1.6), (0, 1.2), (0, 1.2), (0, 1.2), (0, 1.2), (0, 1)],
        lambda x: [x[9] - 2 * x[0], x[5] - 4 * x[1], x[6] - 5 * x[2]],
        lambda x: [
            x[9] - 0.9 * x[8], exp(x[5]) - x[3] - 1, exp(0.833333333333333 * x[6]) - x[4] - 1,
            x[8] - x[5] - x[6] - x[7],
        ], -1.92309949,
    ),
    "prob02": mixed(
        lambda x: 8000 * x[0] - jnp.array([330.0, 360, 370, 415, 435]) @ x[1:], [(1, 100)] * 6, [],
        lambda x: [
            jnp.array([330.0, 360, 370, 415, 435]) @ x[1:] - 8000,
            7700 - jnp.array([330.0, 360, 370, 415, 435]) @ x[1:],
            jnp.sum(x[1:]) - 20, *(jnp.array([60.0, 30, 75, 30, 100]) - x[0] * x[1:]),
        ], None, 112235.0,
    ),
    "prob03": mixed(lambda x: 3 * x[0] + 2 * x[1], [(1, 5)] * 2, [], lambda x: [3.5 - x[0] * x[1]], None, 10.0),
}  # fmt: skip
