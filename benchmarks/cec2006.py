"""The problems of CEC 2006 under constraints: 22 of 24, with exact equalities.

[L] J. J. Liang, T. P. Runarsson, E. Mezura-Montes, M. Clerc, P. N. Suganthan, C. A. Coello Coello and K. Deb, Problem
    definitions and evaluation criteria for the CEC 2006 special session on constrained real-parameter optimization
    (2006).

Left out: g17, whose objective jumps, so that its infimum is not attained, and g20, of which no feasible point is known.
`fmin` is the minimum with exact equalities (those of [L] allow 1e-4 of each); that of g22 is lower than the published
one: with x8 = 130 and x9 = 170 all its equalities follow. `published` is the point of [L], at which
`python benchmarks/cec2006.py` checks the formulas.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

INF = np.inf


class Problem(NamedTuple):
    """min fun(x) over box[0] <= x <= box[1] with lower <= rows(x) <= upper; equal bounds are an equality."""

    name: str
    fun: Callable
    box: np.ndarray
    rows: Callable
    lower: np.ndarray
    upper: np.ndarray
    fmin: float
    published: np.ndarray


PROBLEMS: dict[str, Problem] = {}


def problem(name, box, fmin, published, below=0, equal=0, lower=None, upper=None):
    """Registers function(x) -> value, rows: first `below` rows that must be at most 0, then `equal` that must be 0."""
    low = np.array([-INF] * below + [0.0] * equal) if lower is None else np.asarray(lower, float)
    high = np.zeros(below + equal) if upper is None else np.asarray(upper, float)

    def register(function):
        PROBLEMS[name] = Problem(
            name, lambda x: function(x)[0], np.asarray(box, float), lambda x: jnp.stack(function(x)[1]), low, high,
            fmin, np.asarray(published, float),
        )  # fmt: skip
        return function

    return register


def sides(low, high, n):
    """The same bounds for n variables."""
    return [[low] * n, [high] * n]


@problem("g01", [[0] * 13, [1] * 9 + [100] * 3 + [1]], -15.0, [1] * 9 + [3] * 3 + [1], below=9)
def g01(x):
    a, b, c, d, e, f, g, h, i, u, v, w, _ = x
    value = 5 * (a + b + c + d) - 5 * (a * a + b * b + c * c + d * d) - jnp.sum(x[4:])
    return value, [
        2 * (a + b) + u + v - 10, 2 * (a + c) + u + w - 10, 2 * (b + c) + v + w - 10, u - 8 * a, v - 8 * b, w - 8 * c,
        u - 2 * d - e, v - 2 * f - g, w - 2 * h - i,
    ]  # fmt: skip


@problem(
    "g02", sides(1e-16, 10, 20), -0.8036191042, [
        3.16246061572185, 3.12833142812967, 3.09479212988791, 3.06145059523469, 3.02792915885555, 2.99382606701730,
        2.95866871765285, 2.92184227312450, 0.49482511456933, 0.48835711005490, 0.48231642711865, 0.47664475092742,
        0.47129550835493, 0.46623099264167, 0.46142004984199, 0.45683664767217, 0.45245876903267, 0.44826762241853,
        0.44424700958760, 0.44038285956317,
    ], below=2,
)  # fmt: skip
def g02(x):
    cosine = jnp.cos(x) ** 2
    value = jnp.abs(jnp.sum(cosine**2) - 2 * jnp.prod(cosine)) / jnp.sqrt(jnp.sum(np.arange(1.0, 21) * x**2))
    return -value, [0.75 - jnp.prod(x), jnp.sum(x) - 150]


@problem("g03", sides(0, 1, 10), -1.0, [10**-0.5] * 10, equal=1)
def g03(x):
    return -(10.0**5) * jnp.prod(x), [jnp.sum(x**2) - 1]


@problem(
    "g04", [[78, 33, 27, 27, 27], [102, 45, 45, 45, 45]], -30665.53867178332,
    [78, 33, 29.9952560256815985, 45, 36.7758129057882073], lower=[0, 90, 20], upper=[92, 110, 25],
)  # fmt: skip
def g04(x):
    a, b, c, d, e = x
    return 5.3578547 * c**2 + 0.8356891 * a * e + 37.293239 * a - 40792.141, [
        85.334407 + 0.0056858 * b * e + 0.0006262 * a * d - 0.0022053 * c * e,
        80.51249 + 0.0071317 * b * e + 0.0029955 * a * b + 0.0021813 * c**2,
        9.300961 + 0.0047026 * c * e + 0.0012547 * a * c + 0.0019085 * c * d,
    ]


@problem(
    "g05", [[0, 0, -0.55, -0.55], [1200, 1200, 0.55, 0.55]], 5126.498109595273,
    [679.945317487912, 1026.06713513571594, 0.11887636617838561, -0.39623355240329272],
    lower=[-0.55, 0, 0, 0], upper=[0.55, 0, 0, 0],
)  # fmt: skip
def g05(x):
    a, b, c, d = x

    def s(t):
        return 1000 * jnp.sin(t - 0.25)

    return 3 * a + 1e-6 * a**3 + 2 * b + 2e-6 / 3 * b**3, [
        c - d, s(-c) + s(-d) + 894.8 - a, s(c) + s(c - d) + 894.8 - b, s(d) + s(d - c) + 1294.8,
    ]  # fmt: skip


@problem(
    "g06", [[13, 0], [100, 100]], -6961.813875580143, [14.095, 0.84296078921546],
    lower=[100, -INF], upper=[INF, 82.81],
)  # fmt: skip
def g06(x):
    return (x[0] - 10) ** 3 + (x[1] - 20) ** 3, [
        (x[0] - 5) ** 2 + (x[1] - 5) ** 2, (x[0] - 6) ** 2 + (x[1] - 5) ** 2,
    ]  # fmt: skip


@problem(
    "g07", sides(-10, 10, 10), 24.306209068179,
    [2.171997834812, 2.363679362798, 8.773925117415, 5.095984215855, 0.990655966387, 1.430578427576, 1.321647038816,
     9.828728107011, 8.280094195305, 8.375923511901], below=8,
)  # fmt: skip
def g07(x):
    a, b, c, d, e, f, g, h, i, j = x
    value = a**2 + b**2 + a * b - 14 * a - 16 * b + (c - 10) ** 2 + 4 * (d - 5) ** 2 + (e - 3) ** 2 + 2 * (f - 1) ** 2
    return value + 5 * g**2 + 7 * (h - 11) ** 2 + 2 * (i - 10) ** 2 + (j - 7) ** 2 + 45, [
        4 * a + 5 * b - 3 * g + 9 * h - 105,
        10 * a - 8 * b - 17 * g + 2 * h,
        -8 * a + 2 * b + 5 * i - 2 * j - 12,
        3 * (a - 2) ** 2 + 4 * (b - 3) ** 2 + 2 * c**2 - 7 * d - 120,
        5 * a**2 + 8 * b + (c - 6) ** 2 - 2 * d - 40,
        a**2 + 2 * (b - 2) ** 2 - 2 * a * b + 14 * e - 6 * f,
        0.5 * (a - 8) ** 2 + 2 * (b - 4) ** 2 + 3 * e**2 - f - 30,
        -3 * a + 6 * b + 12 * (i - 8) ** 2 - 7 * j,
    ]


@problem("g08", sides(1e-5, 10, 2), -0.0958250414180358, [1.2279713526, 4.2453733661], below=2)
def g08(x):
    a, b = x
    value = jnp.sin(2 * jnp.pi * a) ** 3 * jnp.sin(2 * jnp.pi * b) / (a**3 * (a + b))
    return -value, [a**2 - b + 1, 1 - a + (b - 4) ** 2]


@problem(
    "g09", sides(-10, 10, 7), 680.630057374402,
    [2.3304994932, 1.9513723965, -0.4775404177, 4.3657261285, -0.6244870758, 1.0381309230, 1.5942266322], below=4,
)  # fmt: skip
def g09(x):
    a, b, c, d, e, f, g = x
    value = (a - 10) ** 2 + 5 * (b - 12) ** 2 + c**4 + 3 * (d - 11) ** 2 + 10 * e**6 + 7 * f**2 + g**4
    return value - 4 * f * g - 10 * f - 8 * g, [
        2 * a**2 + 3 * b**4 + c + 4 * d**2 + 5 * e - 127,
        7 * a + 3 * b + 10 * c**2 + d - e - 282,
        23 * a + b**2 + 6 * f**2 - 8 * g - 196,
        4 * a**2 + b**2 - 3 * a * b + 2 * c**2 + 5 * f - 11 * g,
    ]


@problem(
    "g10", [[100, 1000, 1000] + [10] * 5, [10000] * 3 + [1000] * 5], 7049.248020528666,
    [579.306684425, 1359.970668051, 5109.970668051, 182.017699581, 295.601173277, 217.982300418, 286.416526303,
     395.601173277], below=6,
)  # fmt: skip
def g10(x):
    a, b, c, d, e, f, g, h = x
    return a + b + c, [
        0.0025 * (d + f) - 1, 0.0025 * (e + g - d) - 1, 0.01 * (h - e) - 1,
        100 * a - a * f + 833.33252 * d - 83333.333,
        b * d - b * g - 1250 * d + 1250 * e,
        c * e - c * h - 2500 * e + 1250000,
    ]  # fmt: skip


@problem("g11", sides(-1, 1, 2), 0.75, [-(0.5**0.5), 0.5], equal=1)
def g11(x):
    return x[0] ** 2 + (x[1] - 1) ** 2, [x[1] - x[0] ** 2]


@problem("g12", sides(0, 10, 3), -1.0, [5, 5, 5], below=1)
def g12(x):
    nearest = jnp.clip(jnp.round(jax.lax.stop_gradient(x)), 1, 9)  # of the centres of 729 balls
    return 0.01 * jnp.sum((x - 5) ** 2) - 1, [jnp.sum((x - nearest) ** 2) - 0.0625]


@problem(
    "g13", [[-2.3] * 2 + [-3.2] * 3, [2.3] * 2 + [3.2] * 3], 0.05394984777027195,
    [-1.7171435947203, 1.5957097321519, 1.8272456947885, -0.7636422812896, -0.7636439027742], equal=3,
)  # fmt: skip
def g13(x):
    a, b, c, d, e = x
    return jnp.exp(jnp.prod(x)), [jnp.sum(x**2) - 10, b * c - 5 * d * e, a**3 + b**3 + 1]


@problem(
    "g14", sides(1e-6, 10, 10), -47.7610908594,
    [0.0406684113216282, 0.147721240492452, 0.783205732104114, 0.00141433931889084, 0.485293636780388,
     0.000693183051556082, 0.0274052040687766, 0.0179509660214818, 0.0373268186859717, 0.0968844604336845], equal=3,
)  # fmt: skip
def g14(x):
    energies = np.array([-6.089, -17.164, -34.054, -5.914, -24.721, -14.986, -24.1, -10.708, -26.662, -22.179])
    a, b, c, d, e, f, g, h, i, j = x
    return jnp.sum(x * (energies + jnp.log(x / jnp.sum(x)))), [
        a + 2 * b + 2 * c + f + j - 2, d + 2 * e + f + g - 1, c + g + h + 2 * i + j - 1,
    ]  # fmt: skip


@problem("g15", sides(0, 10, 3), 961.7151721301, [3.51212812611795, 0.216987510429556, 3.55217854929180], equal=2)
def g15(x):
    a, b, c = x
    return 1000 - a**2 - 2 * b**2 - c**2 - a * b - a * c, [jnp.sum(x**2) - 25, 8 * a + 14 * b + 7 * c - 56]


G16_RANGES = np.array([
    [213.1, 405.23], [17.505, 1053.6667], [11.275, 35.03], [214.228, 665.585], [7.458, 584.463], [0.961, 265.916],
    [1.612, 7.046], [0.146, 0.222], [107.99, 273.366], [922.693, 1286.105], [926.832, 1444.046], [18.766, 537.141],
    [1072.163, 3247.039], [8961.448, 26844.086], [0.063, 0.386], [71084.33, 140000], [2802713, 12146108],
])  # fmt: skip


@problem(
    "g16", [[704.4148, 68.6, 0, 193, 25], [906.3855, 288.88, 134.75, 287.0966, 84.1988]], -1.9051552586,
    [705.174537070090537, 68.5999999999999943, 102.899999999999991, 282.324931593660324, 37.5841164258054832],
    lower=[-INF] * 4 + [*G16_RANGES[:, 0]], upper=[0] * 4 + [*G16_RANGES[:, 1]],
)  # fmt: skip
def g16(x):
    a, b, c, d, e = x
    y1 = b + c + 41.6
    y2 = 12.5 / (0.024 * d - 4.62) + 12
    y3 = (0.0003535 * a**2 + 0.5311 * a + 0.08705 * y2 * a) / (0.052 * a + 78 + 0.002377 * y2 * a)
    y4 = 19 * y3
    loss = 0.04782 * (a - y3) + 0.1956 * (a - y3) ** 2 / b + 0.6376 * y4 + 1.594 * y3
    y5 = (a - y3 - y4) * (0.950 - loss / (100 * b))
    y6 = a - y5 - y4 - y3
    sums = 0.995 * (y5 + y4)
    y7, y8 = sums / y1, sums / 3798
    y9 = 96.82 / (y7 - 0.0663 * y7 / y8 - 0.3153) + 0.321 * y1
    y10 = 1.29 * y5 + 1.258 * y4 + 2.29 * y3 + 1.71 * y6
    y11 = 1.71 * a - 0.452 * y4 + 0.580 * y3
    c12 = 0.995 * y10 + 1998
    y12 = 12.3 / 752.3 * a + 1.75 * y2 * 0.995 * a / c12
    y13 = c12 - 1.75 * y2
    y14 = 3623 + 64.4 * b + 58.4 * c + 146312 / (y9 + e)
    y15 = y13 / (0.995 * y10 + 60.8 * b + 48 * d - 0.1121 * y14 - 5095)
    y16 = 148000 - 331000 * y15 + 40 * y13 - 61 * y15 * y13
    y17 = 14130000 - 1328 * y10 - 531 * y11 + (2324 * y10 - 28740000 * y2) / c12
    value = (
        0.000117 * y14 + 0.1365 + 0.00002358 * y13 + 0.000001502 * y16 + 0.0321 * y12 + 0.004324 * y5
        + 0.0001 * (y13 / y15 - y13 / 0.52) / (1.104 - 0.72 * y15) + 37.48 * y2 / c12 - 0.0000005843 * y17
    )  # fmt: skip
    return value, [
        0.28 / 0.72 * y5 - y4, c - 1.5 * b, 3496 * y2 / c12 - 21, 110.6 + y1 - 62212 / (y9 + e),
        y1, y2, y3, y4, y5, y6, y7, y8, y9, y10, y11, y12, y13, y14, y15, y16, y17,
    ]  # fmt: skip


@problem(
    "g18", [[-10] * 8 + [0], [10] * 8 + [20]], -0.8660254037844,
    [-0.9890005492667746, 0.1479118418638228, -0.6242897641574451, -0.7811841737429015, -0.9876159387318453,
     0.1504778305249072, -0.6225959783340022, -0.782543417629948, 0.0], below=13,
)  # fmt: skip
def g18(x):
    a, b, c, d, e, f, g, h, i = x
    return -0.5 * (a * d - b * c + c * i - e * i + e * h - f * g), [
        c**2 + d**2 - 1, i**2 - 1, e**2 + f**2 - 1, a**2 + (b - i) ** 2 - 1, (a - e) ** 2 + (b - f) ** 2 - 1,
        (a - g) ** 2 + (b - h) ** 2 - 1, (c - e) ** 2 + (d - f) ** 2 - 1, (c - g) ** 2 + (d - h) ** 2 - 1,
        g**2 + (h - i) ** 2 - 1, b * c - a * d, -c * i, e * i, f * g - e * h,
    ]  # fmt: skip


G19_A = np.array([
    [-16, 2, 0, 1, 0], [0, -2, 0, 0.4, 2], [-3.5, 0, 2, 0, 0], [0, -2, 0, -4, -1], [0, -9, -2, 1, -2.8],
    [2, 0, -4, 0, 0], [-1, -1, -1, -1, -1], [-1, -2, -3, -2, -1], [1, 2, 3, 4, 5], [1, 1, 1, 1, 1],
])  # fmt: skip
G19_B = np.array([-40, -2, -0.25, -4, -4, -1, -40, -60, 5, 1])
G19_C = np.array([
    [30, -20, -10, 32, -10], [-20, 39, -6, -31, 32], [-10, -6, 10, -6, -10], [32, -31, -6, 39, -20],
    [-10, 32, -10, -20, 30],
])  # fmt: skip
G19_D, G19_E = np.array([4.0, 8, 10, 6, 2]), np.array([-15.0, -27, -36, -18, -12])


@problem(
    "g19", sides(0, 10, 15), 32.6555929502463,
    [0, 0, 3.94600628013917, 0, 3.28318162727873, 10, 0, 0, 0, 0, 0.370762125835098, 0.278454209512692,
     0.523838440499861, 0.388621589976956, 0.29815843730292], below=5,
)  # fmt: skip
def g19(x):
    y, z = x[:10], x[10:]
    rows = -2 * G19_C @ z - 3 * G19_D * z**2 - G19_E + G19_A.T @ y
    return z @ (G19_C @ z) + 2 * jnp.sum(G19_D * z**3) - G19_B @ y, list(rows)


@problem(
    "g21", [[0, 0, 0, 100, 6.3, 5.9, 4.5], [1000, 40, 40, 300, 6.7, 6.4, 6.25]], 193.7869252612394,
    [193.724510070034967, 5.56944131553368433e-27, 17.3191887294084914, 100.047897801386839, 6.68445185362377892,
     5.99168428444264833, 6.21451648886070451], below=1, equal=5,
)  # fmt: skip
def g21(x):
    a, b, c, d, e, f, g = x
    return a, [
        35 * b**0.6 + 35 * c**0.6 - a,
        -300 * c + 7500 * e - 7500 * f - 25 * d * e + 25 * d * f + c * d,
        100 * b + 155.365 * d + 2500 * g - b * d - 25 * d * g - 15536.5,
        jnp.log(900 - d) - e, jnp.log(d + 300) - f, jnp.log(700 - 2 * d) - g,
    ]  # fmt: skip


@problem(
    "g22",
    [[0] * 7 + [100, 100, 100.01, 100, 100, 0, 0, 0, 0.01, 0.01] + [-4.7] * 5,
     [20000] + [1e6] * 3 + [4e7] * 3 + [299.99, 399.99, 300, 400, 600] + [500] * 3 + [300, 400] + [6.25] * 5],
    236.3703133146,
    [236.430975504001054, 135.82847151732463, 204.818152544824585, 6446.54654059436416, 3007540.83940215595,
     4074188.65771341929, 32918270.5028952882, 130.075408394314167, 170.817294970528621, 299.924591605478554,
     399.258113423595205, 330.817294971142758, 184.51831230897065, 248.64670239647424, 127.658546694545862,
     269.182627528746707, 160.000016724090955, 5.29788288102680571, 5.13529735903945728, 5.59531526444068827,
     5.43444479314453499, 5.07517453535834395],
    below=1, equal=19,
)  # fmt: skip
def g22(x):
    return x[0], [
        x[1] ** 0.6 + x[2] ** 0.6 + x[3] ** 0.6 - x[0],
        x[4] - 1e5 * x[7] + 1e7, x[5] + 1e5 * x[7] - 1e5 * x[8], x[6] + 1e5 * x[8] - 5e7,
        x[4] + 1e5 * x[9] - 3.3e7, x[5] + 1e5 * x[10] - 4.4e7, x[6] + 1e5 * x[11] - 6.6e7,
        x[4] - 120 * x[1] * x[12], x[5] - 80 * x[2] * x[13], x[6] - 40 * x[3] * x[14],
        x[7] - x[10] + x[15], x[8] - x[11] + x[16],
        jnp.log(x[9] - 100) - x[17], jnp.log(300 - x[7]) - x[18], jnp.log(x[15]) - x[19], jnp.log(400 - x[8]) - x[20],
        jnp.log(x[16]) - x[21],
        -x[7] - x[9] + x[12] * x[17] - x[12] * x[18] + 400,
        x[7] - x[8] - x[10] + x[13] * x[19] - x[13] * x[20] + 400,
        x[8] - x[11] - 4.60517 * x[14] + x[14] * x[21] + 100,
    ]  # fmt: skip


@problem(
    "g23", [[0] * 8 + [0.01], [300, 300, 100, 200, 100, 300, 100, 200, 0.03]], -400.0,
    [0, 100, 0, 100, 0, 0, 100, 200, 0.01], below=2, equal=4,
)  # fmt: skip
def g23(x):
    a, b, c, d, e, f, g, h, i = x
    return 6 * a + 16 * b + 10 * (f + g) - 9 * e - 15 * h, [
        i * c + 0.02 * f - 0.025 * e, i * d + 0.02 * g - 0.015 * h, a + b - c - d,
        0.03 * a + 0.01 * b - i * (c + d), c + f - e, d + g - h,
    ]  # fmt: skip


@problem("g24", [[0, 0], [3, 4]], -5.508013271595277, [2.3295201974776063, 3.1784930741176707], below=2)
def g24(x):
    a, b = x
    return -a - b, [-2 * a**4 + 8 * a**3 - 8 * a**2 + b - 2, -4 * a**4 + 32 * a**3 - 88 * a**2 + 96 * a + b - 36]


def violation(p: Problem, x: np.ndarray) -> float:
    """Largest violation of a row or of the box, in their own units; infinite where one is not finite."""
    x = np.asarray(x, float)
    c = np.asarray(p.rows(jnp.asarray(x)))
    worst = np.max(np.concatenate([p.box[0] - x, x - p.box[1], p.lower - c, c - p.upper]))
    return max(float(worst), 0.0) if np.all(np.isfinite(c)) else np.inf


def scaled(p: Problem, x: np.ndarray) -> float:
    """The same of the rows in their own scales: abs(bound) plus abs(gradient) times the width of the box."""
    x = jnp.asarray(np.clip(x, p.box[0] + 1e-12 * np.ptp(p.box, axis=0), p.box[1] - 1e-12 * np.ptp(p.box, axis=0)))
    c, J = np.asarray(p.rows(jnp.asarray(x))), np.asarray(jax.jacfwd(p.rows)(x))
    over = np.maximum(np.maximum(c - p.upper, p.lower - c), 0)
    bound = np.where(np.abs(c - p.upper) <= np.abs(c - p.lower), p.upper, p.lower)
    size = np.abs(np.where(np.isfinite(bound), bound, 0)) + np.abs(J) @ np.ptp(p.box, axis=0)
    return float(np.max(np.where(over > 0, over / np.where(over > 0, size, 1), 0)))


def main() -> None:
    for p in PROBLEMS.values():
        f = float(p.fun(jnp.asarray(p.published)))
        print(f"{p.name} {len(p.published):2d} {len(p.lower):2d}  f {f:18.10f}  f - fmin {f - p.fmin:9.1e}  "
              f"violation {violation(p, p.published):.1e}")  # fmt: skip


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
