"""`python -m pytest`, without a word more, runs the suite in two processes, each once a test: nearly all of the time is
the compiler's, which keeps one core busy.

One takes the modules from the first on, the other from the last on, until each has been taken. What the second has to
say comes after the summary of the first, and the command fails where one of them does. What `--lf` runs again are the
failures of the first alone. There is one process with any argument, also one of PYTEST_ADDOPTS, and on a single core.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

FOLDER = "JAXGLOBAL_TAKEN"  # environment variable of the second process: where modules are marked as taken


class Half:
    """The modules that one process takes."""

    def __init__(self, taken: str, backwards: bool):
        """taken: a folder in which each module that a process has begun has a file."""
        self._taken, self._backwards = pathlib.Path(taken), backwards
        self._mine: dict[str, bool] = {}
        self._parent = os.getppid()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._backwards:
            modules: dict[str, list[pytest.Item]] = {}
            for item in items:
                modules.setdefault(_module(item), []).append(item)
            items[:] = [item for module in reversed(modules) for item in modules[module]]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if self._backwards and os.getppid() != self._parent:
            pytest.exit("the first half is gone")
        module = _module(item)
        if module not in self._mine:
            try:
                (self._taken / module.replace("/", "-")).touch(exist_ok=False)
            except FileExistsError:
                self._mine[module] = False
            else:
                self._mine[module] = True
        return None if self._mine[module] else True  # True: there is nothing more to do


class First(Half):
    """That of the process which begins the other."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="halves-")
        super().__init__(self._folder.name, backwards=False)
        self._said = tempfile.TemporaryFile("w+")
        self._other = subprocess.Popen(
            [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider"],
            env=os.environ | {FOLDER: self._folder.name},
            stdout=self._said, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._other.terminate()  # the run was interrupted
        ended = self._other.wait()
        session.exitstatus = session.exitstatus or ended

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("the other half")
        self._said.seek(0)
        terminalreporter.write(self._said.read())

    def pytest_unconfigure(self) -> None:
        self._other.terminate()
        self._other.wait()
        self._said.close()
        self._folder.cleanup()


def pytest_configure(config: pytest.Config) -> None:
    """Is the hook of a conftest that names it."""
    taken = os.environ.pop(FOLDER, None)  # no other pytest that a test begins is a half
    if taken:
        config.pluginmanager.register(Half(taken, backwards=True))
    elif not config.invocation_params.args and not os.environ.get("PYTEST_ADDOPTS") and _cores() > 1:
        config.pluginmanager.register(First())


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
