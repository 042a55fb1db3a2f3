"""Functions for pools of processes: they must be importable, and they do not import JAX."""

import os
import signal
import time

import numpy as np

CALLS = 0


def himmelblau(x):
    return float((x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2)


def gradient(x):
    a, b = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
    return np.array([4 * x[0] * a + 2 * b, 2 * a + 4 * x[1] * b])


def both(x):
    return himmelblau(x), gradient(x)


def many(X):
    return (X[:, 0] ** 2 + X[:, 1] - 11) ** 2 + (X[:, 0] + X[:, 1] ** 2 - 7) ** 2


def many_both(X):
    return many(X), np.stack([gradient(x) for x in X])


def sleepy(x, seconds=0.02):
    time.sleep(seconds)
    return himmelblau(x)


def unreliable(x):
    """One call in twenty raises and one in a hundred hangs, in this worker."""
    global CALLS
    CALLS += 1
    if CALLS % 100 == 50:
        time.sleep(600)
    if CALLS % 20 == 7:
        raise RuntimeError("the simulator has failed")
    return himmelblau(x)


def suicidal(x):
    """The worker dies at its fortieth call."""
    global CALLS
    CALLS += 1
    if CALLS == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return himmelblau(x)


def process(_):
    return float(os.getpid())


def distance(x, a):
    time.sleep(0.03)
    return float(np.sum((x - a) ** 2))


def quits(x):
    """One call in ten ends as Ctrl-C would end it in a worker."""
    global CALLS
    CALLS += 1
    if CALLS % 10 == 5:
        raise KeyboardInterrupt
    return himmelblau(x)


def decay(t, a, k):
    return a * np.exp(-k * t)
