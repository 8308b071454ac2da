import re
from pathlib import Path

from sovbroker.keys import Cost
from sovbroker.keys import passphrase as module

DOC = (Path(__file__).parents[3] / "docs" / "keys.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "Cost", lambda *a: Cost(*a) if a else Cost(8 << 10, 1, 1))
    exec(compile(re.search(r"```python\n(.*?)```", DOC, re.DOTALL)[1], "keys.md", "exec"), {})  # noqa: S102 - our own text
    assert (tmp_path / "keyring.json").exists()
