"""Every Python block of the docs runs, those of a page go on from each other; those of the README run in test_parts."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
    page for page in (ROOT / "docs").rglob("*.md") if page.name != "several_machines.md"
)  # which takes several processes: tests/together.py
MARKS = dict.fromkeys(["acquisitions.md", "constraints.md", "fits.md", "models.md", "profiles.md"], [pytest.mark.slow])
MARKS |= dict.fromkeys(["global.md", "index.md", "whole.md"], [pytest.mark.long])


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=MARKS.get(page.name, [])) for page in PAGES],
    ids=lambda page: page.name,
)
def test_blocks_run(page, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    names = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert blocks or page.name in ("api.md", "how.md", "scaling.md")


def test_every_public_name_is_in_the_api():
    import jaxglobal as jg

    text = (ROOT / "docs" / "api.md").read_text()
    public = {name for name in vars(jg) if callable(getattr(jg, name)) and name[0] != "_"}
    listed = set(re.findall(r"^::: jaxglobal\.(\w+)", text, flags=re.M))
    assert public <= listed, public - listed
