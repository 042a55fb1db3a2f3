"""Transfers between the host and devices, which a call of the library makes by what it is.

`jax.transfer_guard` finds those that a user has not thought of. A search takes numbers of Python, and gives some back.
"""

import contextlib
from typing import Any

import jax

GUARDS = (
    "jax_transfer_guard", "jax_transfer_guard_host_to_device", "jax_transfer_guard_device_to_host",
    "jax_transfer_guard_device_to_device",
)  # fmt: skip


def allowed() -> contextlib.AbstractContextManager[Any]:
    """Within, they are allowed; nothing is done where no guard is set, which is soon seen."""
    guarded = any(getattr(jax.config, guard) not in (None, "allow") for guard in GUARDS)
    return jax.transfer_guard("allow") if guarded else contextlib.nullcontext()
