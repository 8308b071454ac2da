"""The adapter of the README passes the suite, as the README says."""

import re
import sys
import types
from pathlib import Path

README = Path(__file__).parents[3] / "adapters" / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

table = types.ModuleType("table")
# Dataclasses look up the module that they are made in.
sys.modules["table"] = table
for block in BLOCKS:
    exec(compile(block, str(README), "exec"), table.__dict__)  # noqa: S102 - the README's own code


store = table.store


class TestTable(table.TestTable):
    """What the README's second block collects."""


class TestTableSealed(table.TestTableSealed):
    """See above."""


class TestTableHidden(table.TestTableHidden):
    """See above."""


def test_the_readme_has_an_adapter_and_its_test():
    assert len(BLOCKS) == 2
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 80
