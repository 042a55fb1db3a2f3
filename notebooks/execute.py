"""Executes the notebooks, each in a fresh kernel: python notebooks/execute.py [--check].

Without --check the outputs are written back, so that the notebooks ship with their pictures.
"""

import argparse
import pathlib
import time

import nbformat
from nbclient import NotebookClient

TIMEOUT = 600  # seconds a cell, on a machine that others use too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="leave the files as they are")
    options = parser.parse_args()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.ipynb")):
        began = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": path.parent}}
        ).execute()
        if not options.check:
            nbformat.write(notebook, path)
        pictures = sum("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", []))
        print(f"{path.name}: {time.perf_counter() - began:.0f} s, {pictures} pictures")


if __name__ == "__main__":
    main()
