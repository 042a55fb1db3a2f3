"""What the benchmarks share: problems, timing, and how a result is saved with the machine that it was measured on."""

import functools
import hashlib
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxglobal as jg

RESULTS = pathlib.Path(__file__).parent / "results"
TIMES = np.linspace(0.0, 4.0, 200)
TRUE_PARAMETERS = np.array([2.0, 0.5, 5.0, 0.3, 1.0, 1.5])


def model(p: Any, t: Any) -> Any:
    """A damped oscillation and a decay: amplitude, rate, frequency, phase; amplitude, rate."""
    return p[0] * jnp.exp(-p[1] * t) * jnp.cos(p[2] * t + p[3]) + p[4] * jnp.exp(-p[5] * t)


def fit_problem(points: int = 200) -> tuple[Callable[..., Any], list[tuple[float, float]], tuple[Any, Any]]:
    """A least-squares fit with six parameters: fun, bounds, args."""
    times = np.linspace(0.0, 4.0, points)
    data = np.asarray(model(TRUE_PARAMETERS, times)) + 0.05 * np.random.default_rng(0).standard_normal(points)

    def residuals_squared(p, t, y):
        return jnp.sum((model(p, t) - y) ** 2)

    bounds = [(0.0, 4.0), (0.0, 3.0), (0.0, 10.0), (-3.2, 3.2), (0.0, 4.0), (0.0, 3.0)]
    return residuals_squared, bounds, (times, data)


def random_starts(bounds: Any, count: int, seed: int = 0) -> np.ndarray:
    """Uniform points of the box, (count, n)."""
    low, high = np.array(bounds, float).T
    return np.random.default_rng(seed).uniform(low, high, (count, len(low)))


def timed(run: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call whose result is waited for."""
    began = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - began


def seconds(run: Callable[[], Any], repeats: int = 3) -> float:
    """Median wall-clock time of a call whose result is waited for; the first call, which compiles, is not counted."""
    timed(run)
    return statistics.median(timed(run) for _ in range(repeats))


def machine() -> dict[str, Any]:
    """Where a figure was measured."""
    processor = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        processor = f"{len(names)} x {names[0]}" if names else processor
    return {
        "device": jax.devices()[0].device_kind,
        "processor": processor,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxglobal": jg.__version__,
        "x64": jax.config.jax_enable_x64,
    }


def cache_compilations() -> None:
    """Keeps compiled programs between runs: in JAX_COMPILATION_CACHE_DIR, or benchmarks/.cache."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(RESULTS.parent / ".cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@functools.cache
def code() -> str:
    """Which code of jaxglobal made a result: a digest of its modules."""
    files = sorted(pathlib.Path(jg.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


class Ledger:
    """Rows of benchmarks/results/<name>.json, written after each: a command that is started again goes on from there.

    Attributes:
        rows: by their key, the values of the fields that name a row.
    """

    def __init__(self, name: str, fields: tuple[str, ...], anew: bool = False):
        """Reads what is there, unless `anew`."""
        self._path, self._fields = RESULTS / f"{name}.json", fields
        kept = json.loads(self._path.read_text())["rows"] if self._path.exists() and not anew else []
        self.rows = {tuple(row[field] for field in fields): row for row in kept}
        older = sum(row.get("code", code()) != code() for row in kept)
        if older:
            print(f"{self._path.name}: {older} of {len(kept)} rows were made by other code; --anew runs them again")

    def add(self, **row: Any) -> None:
        """Adds or replaces a row and writes the file, each row on a line."""
        self.rows[tuple(row[field] for field in self._fields)] = row
        rows = [self.rows[key] for key in sorted(self.rows)]
        lines = ",\n".join(json.dumps(row) for row in rows)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".part")
        beside.write_text(f'{{"machine": {json.dumps(machine())},\n"rows": [\n{lines}\n]}}\n')
        beside.replace(self._path)


def save(name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """Writes benchmarks/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **more, "rows": rows}, indent=1) + "\n")
    print(f"saved {path.relative_to(RESULTS.parent.parent)}")
