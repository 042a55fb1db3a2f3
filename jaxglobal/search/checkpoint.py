"""Checkpoints: the whole state of a search in one file, written atomically, from which the same call goes on.

A file is an uncompressed NumPy archive (.npz): arrays by name, and one JSON text of everything else. No pickle is
written or read. It belongs to a fingerprint, the hashes of everything that decides the course of a search; a file of
another one is refused, one that is no complete archive is ignored.
"""

import collections
import dataclasses
import hashlib
import inspect
import io
import json
import math
import os
import pathlib
import re
import time
import types
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import processes
from jaxglobal.evidence import minima
from jaxglobal.problem import keys
from jaxglobal.result import Level
from jaxglobal.status import LocalStatus

FORMAT = 18
EVERY = 1.0  # seconds between two writes, at least, and ...
SHARE = 20  # times as long as one takes


class Checkpoint:
    """Where the state of a search is kept. Of several processes, the first reads and writes."""

    def __init__(self, path: Any, fingerprint: dict[str, str], group: processes.Alone = processes.ALONE):
        """Checks the path.

        Raises:
            TypeError: it is no path.
            ValueError: it cannot be written.
        """
        try:
            self.path = pathlib.Path(path)
        except TypeError:
            raise TypeError(f"`checkpoint` must be a path; got {type(path).__name__}.") from None
        self._fingerprint, self._written, self._group, self._took = fingerprint, time.monotonic(), group, 0.0
        # A name of its own, so that two searches by mistake at one path do not mix their halves.
        self._draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        group.first(self._check)

    def _check(self) -> list[np.ndarray]:
        try:
            if self.path.is_dir():
                raise IsADirectoryError("it is a directory")
            self._draft.touch()
            self._draft.unlink()
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"`checkpoint` must be a file that can be written; got {self.path}: {reason}.") from None
        return []

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """The state in the file, None where there is none.

        Raises:
            ValueError: it is that of another search.
        """

        def told() -> list[np.ndarray]:
            kept = self._read()
            if kept is None:
                return []
            state, arrays = kept
            return [processes.text_array(json.dumps([state, list(arrays)])), *arrays.values()]

        parts = self._group.first(told)
        if not parts:
            return None
        state, names = json.loads(processes.array_text(parts[0]))
        return state, dict(zip(names, parts[1:], strict=True))

    def _read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            state = json.loads(str(arrays.pop("state")))
            theirs = state["fingerprint"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(f"{self.path} is no complete checkpoint and is ignored: {error}", stacklevel=7)
            return None
        different = [name for name, digest in self._fingerprint.items() if theirs.get(name) != digest]
        if different:
            raise ValueError(
                f"`checkpoint` must be the file of this search; {self.path} has another {', '.join(different)}: "
                "give the same arguments, or another path."
            )
        return state, arrays

    def write(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Replaces the file in one step: whoever reads it sees the old state or the new one."""
        self._written = time.monotonic()
        if self._group.index != 0:
            return
        text = json.dumps({**state, "fingerprint": self._fingerprint})
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, state=np.array(text), **arrays)
        with open(self._draft, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._draft, self.path)
        began, self._written = self._written, time.monotonic()
        self._took = self._written - began

    @property
    def due(self) -> bool:
        """Whether the last write is long enough ago."""
        return time.monotonic() - self._written >= max(EVERY, SHARE * self._took)


def keep(
    path: Any, function: Callable[[], Any], args: Any, bounds: Any, guesses: Any, rules: Any, options: Any,
    group: processes.Alone = processes.ALONE,
) -> Checkpoint | None:  # fmt: skip
    """The checkpoint at the path, if there is one, for a search of these parts, the same in all processes.

    function: function() says which it is. rules: those of `stopping`.
    """
    if path is None and group.count == 1:
        return None
    rules = dataclasses.asdict(dataclasses.replace(rules, max_time=None))
    parts = fingerprint(function=function(), args=args, bounds=bounds, x0=guesses, options=(rules, options))
    group.same(parts)
    return None if path is None else Checkpoint(path, parts, group)


def fingerprint(**parts: Any) -> dict[str, str]:
    """A hash of each part, which is the same in every run of the same program."""
    digests = {name: hashlib.sha256(b"".join(described(part))).hexdigest() for name, part in parts.items()}
    return {"format": str(FORMAT)} | digests


def described(part: Any, within: tuple[int, ...] = ()) -> Iterator[bytes]:
    """The bytes of arrays, the state of objects, and the text of everything else, without addresses.

    within: the objects whose state this is.
    """
    try:
        leaves, treedef = jax.tree.flatten(part)
    except (TypeError, ValueError):  # keys of a dictionary that have no order
        leaves, treedef = [item for pair in part.items() for item in pair], "items"
    yield str(treedef).encode()
    for leaf in map(keys.numbers, leaves):
        if isinstance(leaf, np.ndarray | np.generic | jax.Array) and leaf.dtype != object:
            array = np.asarray(leaf)
            yield f"{array.dtype}{array.shape}".encode()
            yield np.ascontiguousarray(array).tobytes()
        elif id(leaf) not in within and (state := state_of(leaf)) is not None:
            yield type(leaf).__name__.encode()
            yield from described(state, (*within, id(leaf)))
        else:
            yield re.sub(r"0x[0-9a-f]+", "", f"{type(leaf).__name__} {leaf}").encode()


def state_of(leaf: Any) -> Any:
    """What an object holds, by its own account where it says what is to be pickled; None where its text tells all."""
    if isinstance(leaf, set | frozenset):
        return sorted(leaf, key=repr)
    if isinstance(leaf, np.ndarray):
        return leaf.tolist()
    if isinstance(leaf, type | types.ModuleType) or inspect.isroutine(leaf) or hasattr(leaf, "__wrapped__"):
        return None
    try:
        state = leaf.__getstate__()
        reduces = state is None and type(leaf).__reduce__ is not object.__reduce__
        return leaf.__reduce__() if reduces else state
    except Exception:  # whatever an object raises that is not to be pickled
        return None


def pack_many(each: list[dict[str, np.ndarray]]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Arrays of many by the same names, one array a name, end to end, and the shapes of each: few parts of a file."""
    names = dict.fromkeys(name for arrays in each for name in arrays)
    parts = {name: [np.ravel(arrays[name]) for arrays in each if name in arrays] for name in names}
    shapes = [{name: list(np.shape(array)) for name, array in arrays.items()} for arrays in each]
    return shapes, {f"each_{name}": np.concatenate(part) for name, part in parts.items()}


def unpack_many(shapes: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The inverse of `pack_many`."""
    taken, each = collections.Counter(), []
    for mine in shapes:
        each.append({})
        for name, shape in mine.items():
            first, taken[name] = taken[name], taken[name] + math.prod(shape)
            each[-1][name] = arrays[f"each_{name}"][first : taken[name]].reshape(shape)
    return each


def pack_found(found: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What has been found, as state and arrays."""
    arrays = {f"archive_{name}": np.asarray(field) for name, field in found.archive._asdict().items()}
    state = {
        "f": found.f,
        "start": found.start,
        "status": int(found.status),
        "searches": found.searches,
        "even": found.even,
        "full": found.full,
    }
    return state, {"x": np.asarray(found.x), **arrays}


def unpack_found(found: Any, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `pack_found`; found: an empty one."""
    archive = minima.Archive(*(arrays[f"archive_{name}"] for name in minima.Archive._fields))
    return found._replace(**{**state, "status": LocalStatus(state["status"])}, x=arrays["x"], archive=archive)


def pack_levels(levels: list[Level], structure: Any) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The records of the levels."""
    state = []
    for level in levels:
        fields = {f.name: getattr(level, f.name) for f in dataclasses.fields(level) if f.name != "x"}
        state.append({**fields, "statuses": {str(int(k)): v for k, v in level.statuses.items()}})
    x = np.array([structure.of_point(level.x) for level in levels], structure.dtype).reshape(-1, structure.n)
    return state, {"levels_x": x}


def unpack_levels(state: list[dict[str, Any]], arrays: dict[str, np.ndarray], structure: Any) -> list[Level]:
    """The inverse of `pack_levels`."""
    levels = []
    for fields, x in zip(state, arrays["levels_x"], strict=True):
        statuses = {LocalStatus(int(k)): v for k, v in fields["statuses"].items()}
        levels.append(Level(**{**fields, "statuses": statuses, "x": structure.point(x)}))
    return levels
