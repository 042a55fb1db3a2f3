"""What a host function has returned at points where one call says all, so that it is not called there again."""

import numpy as np

MOST = 2**17  # points: some tens of megabytes


class Called:
    """Values by problem and point; of more than `MOST` points the first are forgotten."""

    def __init__(self, n: int):
        """Nothing is known of points of n variables."""
        self._n = n
        self._values: dict[tuple[int, bytes], np.ndarray | float] = {}

    def get(self, problem: int, x: np.ndarray) -> np.ndarray | float | None:
        """What was returned there, a number or several; None where nothing is known."""
        return self._values.get(_key(problem, x))

    def put(self, problem: int, x: np.ndarray, value: np.ndarray | float) -> None:
        """Keeps what was returned at x, (n,)."""
        if len(self._values) >= MOST:
            del self._values[next(iter(self._values))]
        self._values[_key(problem, x)] = value

    def clear(self) -> None:
        """Forgets everything."""
        self._values.clear()

    def save(self) -> dict[str, np.ndarray]:
        """What is known, as arrays."""
        x = np.frombuffer(b"".join(x for _, x in self._values)).reshape(-1, self._n)
        problems = np.array([problem for problem, _ in self._values], np.int64)
        return {"called_problem": problems, "called_x": x, "called_value": np.array(list(self._values.values()))}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        keys = map(_key, arrays["called_problem"], arrays["called_x"])
        self._values = dict(zip(keys, arrays["called_value"], strict=True))


def _key(problem: int, x: np.ndarray) -> tuple[int, bytes]:
    return int(problem), np.asarray(x, np.float64).tobytes()
