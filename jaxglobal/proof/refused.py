"""What has no enclosure is refused by its name and its line."""

import os
from typing import Any, NamedTuple

import jax


class Refused(NotImplementedError):
    """No certificate: the function has something for which there is no sound rule."""

    def __str__(self) -> str:
        """The sentence."""
        return self.args[0]


def place(eqn: Any) -> str:
    """The line of the user's code that made an equation, as far as JAX knows it."""
    trace = getattr(eqn.source_info, "traceback", None)
    if trace is None:
        return ""
    ours = (os.path.dirname(jax.__file__) + os.sep, os.path.dirname(os.path.dirname(__file__)) + os.sep)
    for frame in trace.frames:
        if not frame.file_name.startswith(ours) and os.sep + "jax" + os.sep not in frame.file_name:
            return f" at {os.path.basename(frame.file_name)}:{frame.line_num}"
    return ""


def refuse(eqn: Any, why: str) -> Refused:
    """The error that names a primitive and, if it is known, its line."""
    return Refused(f"`fun` must have an enclosure in intervals; got {eqn.primitive.name!r}{place(eqn)}: {why}.", why)


def placed(error: Refused, call: Any) -> Refused:
    """With the line of the call in which it was met, where JAX's own lines have hidden the user's."""
    if " at " in str(error) or not (line := place(call)):
        return error
    return Refused(str(error).replace(f": {error.args[1]}", f"{line}: {error.args[1]}"), error.args[1])


class Withheld(NamedTuple):
    """In place of a value for which there is no rule, and of what is made of it: that is said if it is asked for."""

    error: Refused
