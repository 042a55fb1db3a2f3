"""Named test problems: functions of two variables with many minima, long valleys, kinks or plateaus.

`classic` holds the fifteen functions of the run that `python -m jaxglobal` repeats, with the boxes used there and the
result published for it: A. Lloyd, MKL.NET.Optimization, `Minimum_Global` (2022). The formulas are those of S.
Surjanovic and D. Bingham, Virtual Library of Simulation Experiments (2013), and M. Jamil and X.-S. Yang, A literature
survey of benchmark functions for global optimization problems, Int. J. Math. Model. Numer. Optim. 4 (2013), cited by
number.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function, its box and what is known about its minimum.

    Attributes:
        name: what the field calls it.
        fun: a function of a 1-D array.
        bounds: pairs (low, high).
        fmin: the least value in the box.
        minimizers: the points where it is taken, as far as they lie in the box.
        reference: where the formula comes from.
        published: the published result of the first implementation of the algorithm, in words.
    """

    name: str
    fun: Callable[[jax.Array], jax.Array]
    bounds: tuple[tuple[float, float], ...]
    fmin: float
    minimizers: tuple[tuple[float, ...], ...]
    reference: str
    published: str = ""

    def shifted(self, fractions: Sequence[float] = (0.0618, 0.1618)) -> "Problem":
        """The same problem with each lower bound raised by a fraction of its side; the least value must stay inside.

        No point of the original grid, its centre among them, is one of the new grid.

        Raises:
            ValueError: no minimizer is left in the box.
        """
        bounds = tuple((low + c * (high - low), high) for c, (low, high) in zip(fractions, self.bounds, strict=True))
        inside = tuple(
            x for x in self.minimizers if all(low <= v <= high for v, (low, high) in zip(x, bounds, strict=True))
        )
        if not inside:
            raise ValueError(f"`fractions` must leave a minimizer of {self.name} in the box; got {tuple(fractions)}.")
        return dataclasses.replace(self, bounds=bounds, minimizers=inside)


def rastrigin(x: jax.Array) -> jax.Array:
    """A paraboloid with a cosine on it: about one minimum a unit cell. Any number of variables."""
    return 10 * x.size + jnp.sum(x * x - 10 * jnp.cos(2 * jnp.pi * x))


def ackley(x: jax.Array) -> jax.Array:
    """A funnel with ripples and a kink at its bottom. Any number of variables."""
    distance = jnp.sqrt(jnp.mean(x * x))
    return -20 * jnp.exp(-0.2 * distance) - jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * x))) + 20 + jnp.e


def rosenbrock(x: jax.Array) -> jax.Array:
    """A curved valley. Any number of variables from two."""
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def beale(x: jax.Array) -> jax.Array:
    """A flat valley between sharp corners."""
    a, b = x
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2


def bukin6(x: jax.Array) -> jax.Array:
    """A parabolic valley whose bottom is a kink with an infinite slope."""
    a, b = x
    return 100 * jnp.sqrt(jnp.abs(b - 0.01 * a * a)) + 0.01 * jnp.abs(a + 10)


def levi13(x: jax.Array) -> jax.Array:
    """A shallow bowl with ripples."""
    a, b = x
    wave_a, wave_b = jnp.sin(3 * jnp.pi * a) ** 2, jnp.sin(2 * jnp.pi * b) ** 2
    ripple_b = jnp.sin(3 * jnp.pi * b) ** 2
    return wave_a + (a - 1) ** 2 * (1 + ripple_b) + (b - 1) ** 2 * (1 + wave_b)


def himmelblau(x: jax.Array) -> jax.Array:
    """Four equal minima."""
    a, b = x
    return (a * a + b - 11) ** 2 + (a + b * b - 7) ** 2


def easom(x: jax.Array) -> jax.Array:
    """A needle in a plain."""
    a, b = x
    return -jnp.cos(a) * jnp.cos(b) * jnp.exp(-((a - jnp.pi) ** 2) - (b - jnp.pi) ** 2)


def cross_in_tray(x: jax.Array) -> jax.Array:
    """Four equal minima beside a cross of kinks. exp(100) overflows in float32."""
    a, b = x
    wave = jnp.sin(a) * jnp.sin(b) * jnp.exp(jnp.abs(100 - jnp.sqrt(a * a + b * b) / jnp.pi))
    return -0.0001 * (jnp.abs(wave) + 1) ** 0.1


def eggholder(x: jax.Array) -> jax.Array:
    """Long crooked ridges; the minimum lies on a face of the box."""
    a, b = x
    hills = (b + 47) * jnp.sin(jnp.sqrt(jnp.abs(a / 2 + b + 47)))
    return -hills - a * jnp.sin(jnp.sqrt(jnp.abs(a - b - 47)))


def holder_table(x: jax.Array) -> jax.Array:
    """Four equal minima near the corners."""
    a, b = x
    return -jnp.abs(jnp.sin(a) * jnp.cos(b) * jnp.exp(jnp.abs(1 - jnp.sqrt(a * a + b * b) / jnp.pi)))


def mccormick(x: jax.Array) -> jax.Array:
    """A tilted trough."""
    a, b = x
    return jnp.sin(a + b) + (a - b) ** 2 - 1.5 * a + 2.5 * b + 1


def schaffer2(x: jax.Array) -> jax.Array:
    """Rings around the minimum, ever finer away from the diagonals."""
    a, b = x[0] ** 2, x[1] ** 2
    return 0.5 + (jnp.sin(a - b) ** 2 - 0.5) / (1 + 0.001 * (a + b)) ** 2


def schaffer4(x: jax.Array) -> jax.Array:
    """As `schaffer2`, with four minima."""
    a, b = x[0] ** 2, x[1] ** 2
    return 0.5 + (jnp.cos(jnp.sin(jnp.abs(a - b))) ** 2 - 0.5) / (1 + 0.001 * (a + b)) ** 2


def styblinski_tang(x: jax.Array) -> jax.Array:
    """A quartic with two minima a variable. Any number of variables."""
    return 0.5 * jnp.sum(x**4 - 16 * x * x + 5 * x)


def _signs(a: float, b: float) -> tuple[tuple[float, float], ...]:
    return tuple((i * a, j * b) for i in (-1, 1) for j in (-1, 1))


_SFU = "Surjanovic & Bingham (2013)"
_PI = 3.141592653589793

classic: tuple[Problem, ...] = (
    Problem("rastrigin", rastrigin, ((-4, 5.12), (-4, 5.12)), 0, ((0, 0),), _SFU, "found"),
    Problem("ackley", ackley, ((-4, 5), (-4, 5)), 0, ((0, 0),), _SFU, "found at level 0"),
    Problem("rosenbrock", rosenbrock, ((-2, 2), (-1, 3)), 0, ((1, 1),), _SFU, "found at level 0"),
    Problem("beale", beale, ((-4.5, 4.5),) * 2, 0, ((3, 0.5),), _SFU, "found at level 0"),
    Problem("bukin6", bukin6, ((-15, -5), (-3, 3)), 0, ((-10, 1),), _SFU, "1.1e-4 after 20 minutes"),
    Problem("levi13", levi13, ((-10, 10),) * 2, 0, ((1, 1),), _SFU, "found"),
    Problem(
        "himmelblau",
        himmelblau,
        ((-5, 5),) * 2,
        0,
        ((3, 2), (-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.283185991286170),
         (3.584428340330492, -1.848126526964404)),
        "Jamil & Yang (2013), 65",
        "found at level 0",
    ),
    Problem("easom", easom, ((-10, 10),) * 2, -1, ((_PI, _PI),), _SFU, "found at level 0"),
    Problem(
        "cross-in-tray",
        cross_in_tray,
        ((-10, 10),) * 2,
        -2.0626118708227397,
        _signs(1.349406608602084, 1.349406608602084),
        _SFU,
        "found",
    ),
    Problem(
        "eggholder", eggholder, ((-512, 512),) * 2, -959.6406627208506, ((512, 404.2318058008512),), _SFU, "found"
    ),
    Problem(
        "holder table",
        holder_table,
        ((-10, 10),) * 2,
        -19.208502567886754,
        _signs(8.055023472141116, 9.664590028909654),
        _SFU,
        "found",
    ),
    Problem(
        "mccormick",
        mccormick,
        ((-1.5, 4), (-3, 4)),
        -1.9132229549810367,
        ((-0.5471975511965975, -1.5471975511965975),),
        _SFU,
        "found at level 0",
    ),
    Problem("schaffer2", schaffer2, ((-50, 90), (-70, 80)), 0, ((0, 0),), _SFU, "0.142 after 20 minutes"),
    Problem(
        "schaffer4",
        schaffer4,
        ((-40, 50), (-50, 40)),
        0.29257863203598045,
        ((0, 1.253131828792882), (0, -1.253131828792882), (1.253131828792882, 0), (-1.253131828792882, 0)),
        _SFU,
        "found, stopped by 20 minutes",
    ),
    Problem(
        "styblinski-tang",
        styblinski_tang,
        ((-5, 5),) * 2,
        -78.33233140754285,
        ((-2.903534027771178, -2.903534027771178),),
        _SFU,
        "found at level 0",
    ),
)  # fmt: skip
