"""A benchmark that starts itself again, in processes with devices of their own: `start` them, read what they print.

A worker is a function of the benchmark that prints its result on its last line; `main` runs it where it is asked for.
"""

import argparse
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from common import save

import jaxglobal as jg


def start(worker: str, *rest: str, count: int = 1, forced: int = 1) -> list[subprocess.Popen]:
    """The benchmark that runs, again, in so many processes of so many devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={forced}", "JAX_PLATFORMS": "cpu"}
    return [
        subprocess.Popen(
            [sys.executable, sys.argv[0], "--worker", worker, port, str(count), str(index), *rest],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for index in range(count)
    ]


def last_lines(started: list[subprocess.Popen]) -> list[str]:
    """The last line that each prints."""
    told: list = [None] * len(started)

    def read(i):
        told[i] = started[i].communicate()

    readers = [threading.Thread(target=read, args=(i,)) for i in range(len(started))]
    [reader.start() for reader in readers]
    [reader.join() for reader in readers]
    for process, (_, errors) in zip(started, told, strict=True):
        if process.returncode:
            raise RuntimeError(errors)
    return [out.strip().splitlines()[-1] for out, _ in told]


def main(name: str, doc: str, sections: dict[str, Callable], workers: dict[str, Callable]) -> None:
    """The command line: the named sections, saved as <name>_<section>.json; or a worker."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("sections", nargs="*", choices=[*sections, []], help="all of them, if none is named")
    parser.add_argument("--quick", action="store_true", help="smaller ones, not saved")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker, port, count, index, *rest = given.worker
        if int(count) > 1:
            jg.processes.initialize(f"localhost:{port}", int(count), int(index))
        workers[worker](*rest)
        return
    for section in given.sections or sections:
        print(f"== {section}", flush=True)
        rows = sections[section](given.quick)
        if not given.quick:
            save(f"{name}_{section}", rows)
