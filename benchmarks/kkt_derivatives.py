"""Derivatives of minima under constraints, of random problems, against central differences of the search itself.

    python benchmarks/kkt_derivatives.py              # 100 problems, by argmin and by derivative
    python benchmarks/kkt_derivatives.py --count 20

A problem has eight numbers: two args, a bound of the box, those of a ball, an equality and a range. Its differences are
those of `argmin` at 16 moved problems; where these have other active rows, or say `touching`, `singular` or `tied`, the
minimum has no derivative, and the problem is counted as rough. Errors are the largest of all, relative to one and the
difference.
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

import jaxglobal as jg

STEP = 1e-5
BOX = np.array([[-1.5, 2.0], [-1.5, 2.0], [-1.0, 0.6]])
CENTRE, SPREAD = np.array([0, 0, 0, 1, 0.6, 1.0, 0.2, -0.5]), np.array([1.5, 1.5, 1.5, 0.3, 0.2, 0.3, 0.3, 0.5])
NUMBERS = len(CENTRE)
LOWER, UPPER = [None, 6, 7], [5, 6, None]  # which number is a row's bound
AT_ONCE = 20  # problems


def fun(x, a, b):
    return jnp.sum((x - a) ** 2) + 0.3 * b * jnp.sum(jnp.cos(3 * (x + a)))


def rows(x, a, b):
    return jnp.stack([jnp.sum(x**2), x[0] + b * x[1], x[2] - x[1]])


def problem(theta):
    """The box, the args, and the constraints."""
    lower, upper = (
        jnp.stack([jnp.asarray(none) if i is None else theta[i] for i in which])
        for which, none in ((LOWER, -jnp.inf), (UPPER, jnp.inf))
    )
    return jnp.asarray(BOX).at[2, 1].set(theta[4]), (theta[:3], theta[3]), jg.Constraint(rows, lower, upper)


def answer(theta):
    """What argmin finds."""
    box, args, kept = problem(theta)
    return jg.argmin(fun, box, args, 2, constraints=kept, lanes=64)


def value_and_x(theta):
    """fun and x, (4,)."""
    found = answer(theta)
    return jnp.concatenate([found.fun[None], found.x])


def derivative_of(theta: np.ndarray) -> tuple[np.ndarray, jg.Result]:
    """(4, 8) What `derivative` says of what `minimize` finds."""
    box, args, kept = problem(theta)
    given = jg.Constraint(rows, np.asarray(kept.lower), np.asarray(kept.upper))
    args = np.asarray(args[0]), float(args[1])
    result = jg.minimize(fun, np.asarray(box), args, constraints=given, progress=False)
    d = jg.derivative(result, fun, np.asarray(box), args, constraints=given)
    both = [np.concatenate([np.reshape(f, (1, -1)), np.reshape(x, (3, -1))]) for f, x in (
        (d.fun[0], d.x[0]), (d.fun[1], d.x[1]), (d.fun_bounds.upper[2], d.x_bounds.upper[:, 2]),
    )]  # fmt: skip
    of_rows = [np.concatenate([f[None], x]) for f, x in zip(d.fun_constraints, d.x_constraints, strict=True)]
    columns = [of_rows[1][:, 0], of_rows[0][:, 1] + of_rows[1][:, 1], of_rows[0][:, 2]]
    return np.concatenate([*both, np.stack(columns, axis=1)], axis=1), result


def main() -> None:
    """Prints the largest errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    count = parser.parse_args().count
    thetas = CENTRE + SPREAD * np.random.default_rng(1).uniform(-1, 1, (count, NUMBERS))
    steps = STEP * np.concatenate([np.zeros((1, NUMBERS)), np.eye(NUMBERS), -np.eye(NUMBERS)])
    find, slopes = jax.jit(jax.vmap(answer)), jax.jit(jax.vmap(jax.jacrev(value_and_x)))
    errors, rough, other = {"argmin": [], "derivative": []}, 0, 0
    for first in range(0, count, AT_ONCE):
        some = thetas[first : first + AT_ONCE]
        found = jax.device_get(find(jnp.asarray((some[:, None] + steps).reshape(-1, NUMBERS))))
        told = np.asarray(slopes(jnp.asarray(some)))
        for k, theta in enumerate(some):
            mine = slice(k * len(steps), (k + 1) * len(steps))
            unsure = np.any(found.touching[mine] | found.singular[mine] | found.tied[mine])
            if unsure or np.any(found.active[mine] != found.active[mine][0]):
                rough += 1
                continue
            values = np.concatenate([found.fun[mine, None], found.x[mine]], axis=1)
            differences = (values[1 : NUMBERS + 1] - values[NUMBERS + 1 :]).T / (2 * STEP)
            size = 1 + np.abs(differences)
            errors["argmin"].append(np.abs(told[k] - differences) / size)
            d, result = derivative_of(theta)
            if abs(result.fun - values[0, 0]) > 1e-8:
                other += 1
                continue
            errors["derivative"].append(np.abs(d - differences) / size)
    print(f"{count} problems, {rough} rough; in {other} minimize and argmin found different minima")
    for name, list_of in errors.items():
        worst = np.max(list_of, axis=(0, 2))
        print(f"{name:10s} {len(list_of):4d} problems   value {worst[0]:.1e}   x {np.max(worst[1:]):.1e}")


if __name__ == "__main__":
    main()
