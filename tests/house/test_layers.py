"""Each contract of `[tool.importlinter]` holds, and each one is seen to break when somebody breaks it."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

# contract id -> (module that misbehaves, the line that is planted in it)
BREACHES = {
    "layers": ("sovbroker.labels", "from sovbroker import broker"),
    "pure-crypto": ("sovbroker.envelope.layout", "from sovbroker.labels import Label"),
    "bare-ports": ("sovbroker.ports", "from sovbroker.catalogue.facts import Target"),
    "bare-placements": ("sovbroker.placements.index", "from sovbroker.policy import Policy"),
    "no-plugin": ("sovbroker.router", "import sovbroker_adapters"),
    "no-sdk": ("sovbroker.router", "import botocore.session"),
    "cipher": ("sovbroker.broker", "from cryptography.hazmat.primitives.ciphers.aead import AESGCM"),
    "yaml": ("sovbroker.broker", "import yaml"),
    "screen": ("sovbroker.errors", "import rich"),
    "test-tools": ("sovbroker.broker", "import pytest"),
    "adapters-see-ports": ("sovbroker_adapters.memory", "from sovbroker.envelope import Record"),
    "adapters-apart": ("sovbroker_adapters.memory", "import sovbroker_adapters.local"),
    "packs-are-data": ("sovbroker_policies", "from sovbroker.labels import Label"),
}

Plant = Callable[[str, str], None]
Lint = Callable[[], tuple[int, str]]


def contracts(root: Path) -> dict[str, dict[str, object]]:
    config = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    return {contract["id"]: contract for contract in config["tool"]["importlinter"]["contracts"]}


def layers(root: Path) -> list[list[str]]:
    """Return the modules of each layer of the core, from the top, without those that are not there yet."""
    rows = contracts(root)["layers"]["layers"]
    assert isinstance(rows, list)
    named = [[name.strip(" ()") for name in re.split(r"[|:]", row)] for row in rows]
    here = [[name for name in row if next((root / "src" / "sovbroker").glob(f"{name}*"), None)] for row in named]
    return [row for row in here if row]


@pytest.fixture
def copy(tmp_path: Path, root: Path, source_roots: dict[str, Path]) -> Path:
    for name, folder in source_roots.items():
        shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.yaml"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.fixture
def plant(copy: Path) -> Plant:
    def planted(module: str, line: str) -> None:
        path = copy.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        with file.open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")

    return planted


@pytest.fixture
def lint(copy: Path) -> Lint:
    """Return a function that runs lint-imports over the copy, and returns its exit code and what it printed."""

    def linted() -> tuple[int, str]:
        command = [Path(sysconfig.get_path("scripts")) / "lint-imports", "--no-cache"]
        env = os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200", "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return linted


def test_the_packages_keep_every_contract(lint: Lint, root: Path):
    code, printed = lint()
    assert code == 0, printed
    assert f"{len(contracts(root))} kept, 0 broken" in printed


def test_every_contract_has_its_breach(root: Path):
    assert set(contracts(root)) == set(BREACHES)


@pytest.mark.parametrize("contract", BREACHES)
def test_a_breach_is_seen(contract: str, plant: Plant, lint: Lint, root: Path):
    plant(*BREACHES[contract])
    code, printed = lint()
    assert code == 1, printed
    assert f"{contracts(root)[contract]['name']} BROKEN" in printed


def test_no_layer_imports_the_one_above_it(plant: Plant, lint: Lint, root: Path):
    rows = layers(root)
    pairs = [(low, high) for above, below in itertools.pairwise(rows) for low in below for high in above]
    for low, high in pairs:
        plant(f"sovbroker.{low}", f"import sovbroker.{high}")
    _, printed = lint()
    unseen = [
        (low, high)
        for low, high in pairs
        if f"sovbroker.{low} is not allowed to import sovbroker.{high}" not in printed
    ]
    assert len(pairs) > len(rows) - 2
    assert not unseen, printed


def test_a_module_without_a_layer_is_seen(copy: Path, lint: Lint):
    (copy / "sovbroker" / "stray.py").touch()
    code, printed = lint()
    assert code != 0
    assert "stray" in printed


def test_an_adapter_without_a_place_is_seen(copy: Path, lint: Lint):
    (copy / "sovbroker_adapters" / "stray.py").touch()
    code, printed = lint()
    assert code != 0
    assert "stray" in printed


def imported(file: Path) -> set[str]:
    """Return the top-level names that a file imports when it runs."""
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module)
    return {name.partition(".")[0] for name in names}


def test_what_is_imported_is_declared(root: Path, source_roots: dict[str, Path]):
    """A dependency that nobody declared, and that happens to be installed here, would be missing at a user's."""
    config = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = config["optional-dependencies"]
    lines = [*config["dependencies"], *(line for name, own in extras.items() if name != "dev" for line in own)]
    declared = {re.split(r"[\[>=<;\s]", line, maxsplit=1)[0].lower() for line in lines}
    # The import name, and what brings it along, where the two differ.
    brought = {"yaml": "pyyaml", "botocore": "boto3", "s3transfer": "boto3", "click": "typer", "urllib3": "boto3"}
    brought |= {"azure": "azure-storage-blob", "google": "google-cloud-storage", "requests": "google-cloud-storage"}
    brought |= {"google_crc32c": "google-crc32c"}
    for folder in source_roots.values():
        for file in folder.rglob("*.py"):
            names = imported(file) - set(source_roots) - sys.stdlib_module_names
            assert {brought.get(name, name) for name in names} <= declared, file
