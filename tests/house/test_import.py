"""`import sovbroker` is cheap because of what it does not load; this looks at that, never at a clock."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "azure",
    "boto3",
    "botocore",
    "click",
    "cryptography",
    "google",
    "hypothesis",
    "moto",
    "pytest",
    "rich",
    "typer",
    "yaml",
}


def loaded(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after a statement, and did not hold before it."""
    code = (
        "import json, sys\nbefore = set(sys.modules)\n"
        f"{statement}\nprint(json.dumps(sorted({{n.partition('.')[0] for n in set(sys.modules) - before}})))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_library_loads_nothing_heavy():
    assert not loaded("import sovbroker") & HEAVY


def test_price_lists_are_read_when_they_are_asked_for():
    code = (
        "import sovbroker, sovbroker.opening\n"
        "from sovbroker.compute.prices import shipped_prices as known\n"
        "before = known.cache_info().misses\nknown('aws')\nprint(before, known.cache_info().misses)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]


@pytest.mark.parametrize("heavy", ["yaml", "cryptography"])
def test_the_look_would_see_it(heavy: str):
    assert heavy in loaded(f"import sovbroker, {heavy}")


def test_importing_an_adapter_loads_no_sdk(source_roots: dict[str, Path]):
    names = [info.name for info in pkgutil.iter_modules([str(source_roots["sovbroker_adapters"])])]
    imports = "; ".join(f"import sovbroker_adapters.{name}" for name in names)
    assert not loaded(imports) & {"azure", "boto3", "botocore", "google", "s3transfer"}


def test_the_contracts_need_nothing_but_the_standard_library():
    """So whoever writes an adapter gets nothing along with them."""
    modules = loaded("import sovbroker.ports, sovbroker.errors, sovbroker.labels")
    assert modules - sys.stdlib_module_names == {"sovbroker"}
