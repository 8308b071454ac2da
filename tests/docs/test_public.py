"""What is public exists, is documented where it stands, and is told of in the documentation."""

import ast
import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sovbroker
import sovbroker_adapters
from sovbroker import errors
from sovbroker.document import ByKind, ListOf, MapOf, Record, Single

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
VARIABLE = re.compile(r"\bSOVBROKER_[A-Z_]+\b")
CODE = re.compile(r"\bS[A-Z]\d{3}\b")


def modules() -> list[str]:
    """Return the name of every module that says what it makes public."""
    found = [
        info.name
        for package in (sovbroker, sovbroker_adapters)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not info.name.endswith(".__main__")
    ]
    return ["sovbroker", *(name for name in found if "__all__" in source_of(name))]


def source_of(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text("utf-8")


def described(module: str) -> set[str]:
    """Return the names of a module's own constants and types that are followed by a text about them."""
    body = ast.parse(source_of(module)).body
    found = set()
    for node, after in itertools.pairwise(body):
        text = (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        )
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]) if text:
                found.add(name)
    return found


def assigned(module: str) -> set[str]:
    """Return the names that a module binds by an assignment of its own."""
    found = set()
    for node in ast.parse(source_of(module)).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
    return found


@pytest.mark.parametrize("name", modules())
def test_what_a_module_makes_public_exists_and_is_documented(name: str):
    module = importlib.import_module(name)
    assert inspect.getdoc(module), "the module has no docstring"
    public = module.__all__
    assert len(set(public)) == len(public)
    missing = [each for each in public if not hasattr(module, each)]
    assert not missing
    bare = [
        each
        for each in public
        if inspect.isroutine(value := getattr(module, each)) or inspect.isclass(value)
        if not value.__doc__ or value.__doc__.startswith(f"{each}(")  # what a dataclass without one gets
    ]
    assert not bare


def referenced() -> list[str]:
    """Return the modules that the reference is made from."""
    return [
        name
        for page in REFERENCE.glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    ]


@pytest.mark.parametrize("name", referenced())
def test_a_public_constant_says_what_it_is(name: str):
    public = set(getattr(importlib.import_module(name), "__all__", ()))
    assert (public & assigned(name)) <= described(name) | {"__version__"}


def every_error() -> list[type[errors.SovbrokerError]]:
    return [
        each
        for each in (getattr(errors, name) for name in errors.__all__)
        if inspect.isclass(each) and issubclass(each, errors.SovbrokerError)
    ]


def test_every_error_is_drawn_in_the_tree():
    tree = inspect.getdoc(errors) or ""
    assert not [each.__name__ for each in every_error() if each.__name__ not in tree]


def test_every_error_is_in_the_documentation(root: Path):
    page = (root / "docs" / "errors.md").read_text("utf-8")
    assert not [each.__name__ for each in every_error() if f"`{each.__name__}`" not in page]


def made(kind: type[errors.SovbrokerError]) -> errors.SovbrokerError:
    error = kind.__new__(kind)
    Exception.__init__(error, "made up")
    return error


def test_the_documentation_tells_the_exit_code_of_each_error(root: Path):
    from sovbroker.cli.failures import code_of  # noqa: PLC0415 - an extra's package

    page = (root / "docs" / "errors.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", page, re.MULTILINE))
    assert told == {each.__name__: str(int(code_of(made(each)))) for each in every_error()}


def test_every_error_of_the_tree_is_exported():
    raised = {each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, Exception)}
    assert raised == set(every_error())


def keys_of(shape: object) -> Iterator[str]:
    """Yield every key that a shape of a file knows, however deep."""
    match shape:
        case Record(fields=fields):
            for key, field in fields.items():
                yield key
                yield from keys_of(field.shape)
        case ListOf(item=inner) | Single(item=inner) | MapOf(value=inner):
            yield from keys_of(inner)
        case ByKind(text=text, items=items, entries=entries):
            for inner in (text, items, entries):
                yield from keys_of(inner)
        case _:
            return


def test_every_key_of_the_configuration_is_in_the_documentation(root: Path):
    from sovbroker.config import SHAPE  # noqa: PLC0415 - of this test alone
    from sovbroker.shapes import SOURCE  # noqa: PLC0415 - as above

    keys = set(keys_of(SHAPE)) | set(keys_of(SOURCE))
    assert {"sovbroker", "targets", "bucket", "credentials", "secret_key"} <= keys
    page = (root / "docs" / "configuration.md").read_text("utf-8")
    assert not [key for key in sorted(keys) if not re.search(rf"`{key}`|\b{key}:", page)]


def test_every_key_of_an_overlay_is_in_the_documentation(root: Path):
    from sovbroker.catalogue.overlaydocs import ATTESTATION, ROOT, Attested, entry  # noqa: PLC0415 - as above

    attested = Attested({}, lambda doc, findings: None)
    keys = {*keys_of(ROOT), *keys_of(ATTESTATION)}
    keys |= {key for of_provider in (True, False) for key in keys_of(entry(attested, of_provider=of_provider))}
    assert {"sha256", "binding", "levels", "offers", "accept_relaxation"} <= keys
    page = (root / "docs" / "overlay.md").read_text("utf-8")
    assert not [key for key in sorted(keys) if not re.search(rf"`{key}`|\b{key}:", page)]


def commands() -> list[str]:
    """Return every command of the command line, as it is typed."""
    import typer.main  # noqa: PLC0415 - an extra

    from sovbroker.cli import app  # noqa: PLC0415 - loads typer

    def walk(command: object, words: tuple[str, ...]) -> Iterator[str]:
        inner = getattr(command, "commands", None)
        if not inner:
            yield " ".join(words)
            return
        for name, each in inner.items():
            yield from walk(each, (*words, name))

    return list(walk(typer.main.get_command(app), ("sovbroker",)))


def test_every_command_is_in_the_documentation(root: Path):
    page = (root / "docs" / "cli.md").read_text("utf-8")
    known = commands()
    assert {"sovbroker put", "sovbroker policy check"} <= set(known)
    assert not [command for command in known if command not in page]


def python_sources(root: Path) -> Iterator[str]:
    for folder in ("src", "adapters"):
        for file in (root / folder).rglob("*.py"):
            yield file.read_text("utf-8")


def test_every_variable_is_in_the_documentation(root: Path, documentation: str):
    used = {name for text in python_sources(root) for name in VARIABLE.findall(text)}
    assert {"SOVBROKER_CONFIG", "SOVBROKER_PASSPHRASE"} <= used
    assert not [name for name in sorted(used) if f"{name}" not in documentation]


def test_every_diagnostic_code_is_in_the_documentation(root: Path, documentation: str):
    used = {code for text in python_sources(root) for code in re.findall(r'"(S[A-Z]\d{3})"', text)}
    assert {"SB001", "SF001"} <= used
    assert not sorted(used - set(CODE.findall(documentation)))


def test_no_page_tells_of_a_code_that_there_is_not(root: Path, documentation: str):
    used = {code for text in python_sources(root) for code in re.findall(r'"(S[A-Z]\d{3})"', text)}
    assert not sorted(set(CODE.findall(documentation)) - used)
