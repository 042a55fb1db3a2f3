"""show_versions: what a report of a bug should say."""

import importlib.metadata
import platform
import sys

import jax

from jaxglobal.engine import devices
from jaxglobal.problem.closed import x64

PACKAGES = ("jaxglobal", "jax", "jaxlib", "numpy", "scipy", "optax", "tqdm", "matplotlib")


def show_versions() -> None:
    """Prints the versions of Python and the packages, the devices and the precision.

    Example:
        >>> import jaxglobal as jg
        >>> jg.show_versions()  # doctest: +ELLIPSIS
        python      3...
    """
    rows = [("python", sys.version.split()[0]), ("platform", platform.platform())]
    for name in PACKAGES:
        try:
            rows.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, "not installed"))
    kinds = ", ".join(sorted({device.device_kind for device in jax.devices()}))
    rows += [
        ("devices", f"{jax.device_count()} x {kinds} ({jax.default_backend()})"),
        ("threads", str(devices.threads())),
        ("x64", str(x64())),
    ]
    print("\n".join(f"{name:<12}{value}" for name, value in rows))
