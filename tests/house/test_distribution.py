"""What a user installs is the tree: nothing forgotten, nothing that does not belong there."""

import configparser
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

DATA = "sovbroker/demo/data"


@dataclass(frozen=True, slots=True)
class Built:
    """A source distribution, and the wheel that was built from it."""

    sdist: Path
    wheel: Path


def build(kind: str, *, source: Path, out: Path) -> Path:
    command = [sys.executable, "-I", "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(out), str(source)]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="module")
def built(root: Path, files_of: Callable[[Path], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build from a copy of the project's own files, so that a stray file of this checkout is no part of it."""
    folder = tmp_path_factory.mktemp("distribution")
    checkout, unpacked, out = folder / "checkout", folder / "unpacked", folder / "out"
    for file in files_of(root):
        target = checkout / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    out.mkdir()
    sdist = build("sdist", source=checkout, out=out)
    with tarfile.open(sdist) as archive:
        # The filter came with 3.11.4; older ones have none, and need none for an archive that we built.
        archive.extractall(unpacked, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # noqa: S202 - we built it
    (source,) = unpacked.iterdir()
    return Built(sdist, build("wheel", source=source, out=out))


def test_the_wheel_holds_the_three_packages_and_nothing_else(
    built: Built, root: Path, source_roots: dict[str, Path], files_of: Callable[[Path], list[Path]]
):
    expected = {
        f"{name}/{file.relative_to(folder).as_posix()}"
        for name, folder in source_roots.items()
        for file in files_of(folder)
    }
    expected |= {f"{DATA}/{file.name}" for file in files_of(root / "examples" / "data")}
    with zipfile.ZipFile(built.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    assert held == expected


def test_the_wheel_is_typed_licensed_and_has_its_entry_points(built: Built, source_roots: dict[str, Path]):
    with zipfile.ZipFile(built.wheel) as archive:
        names = archive.namelist()
        (points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        parser = configparser.ConfigParser()
        parser.read_string(archive.read(points).decode())
    assert {f"{name}/py.typed" for name in source_roots} <= set(names)
    assert any(name.endswith("/LICENSE") for name in names)
    assert parser["console_scripts"]["sovbroker"] == "sovbroker.cli:main"
    assert set(parser["sovbroker.adapters"]) == {
        "azure",
        "gcs",
        "libcloud",
        "local",
        "memory",
        "obstore",
        "s3",
        "swift",
        "webdav",
    }
    assert set(parser["sovbroker.policies"]) == {"shipped"}
    assert {"sovbroker/policy/export/semantics.rego", "sovbroker_policies/fr-hds/policy.yaml"} <= set(names)


def test_the_sdist_can_be_tested_and_documented(built: Built):
    with tarfile.open(built.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "README.md", "mkdocs.yml", "pyproject.toml", "docs/index.md"} <= held
    assert {"tests/house/test_distribution.py", "examples/data/policy.yaml", "bench/__main__.py"} <= held
    assert not {name for name in held if ".venv" in name or name.startswith(".ci")}


def test_every_entry_point_leads_somewhere(source_roots: dict[str, Path], root: Path):
    """Each named module is a file of ours; that its object is there is seen where it is used."""
    import tomllib  # noqa: PLC0415 - of this test alone

    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    named = [
        *project["scripts"].values(),
        *(point for group in project["entry-points"].values() for point in group.values()),
    ]
    for point in named:
        module = point.partition(":")[0]
        top, _, rest = module.partition(".")
        path = source_roots[top].joinpath(*rest.split(".")) if rest else source_roots[top]
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), point


def test_the_installed_wheel_imports_without_the_checkout(built: Built, tmp_path: Path):
    """Importing needs none of the dependencies, so this needs no network."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(site)  # noqa: S202 - we built it ourselves just now
    python = tmp_path / "env" / "bin" / "python"
    code = "import sovbroker, sovbroker_adapters, sovbroker_policies; print(sovbroker.__version__, sovbroker.__file__)"
    done = subprocess.run([python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version, file = done.stdout.split()
    assert built.wheel.name.split("-")[1] == version
    assert Path(file).is_relative_to(site)
