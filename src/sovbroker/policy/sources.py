"""The files of a policy: the one that was asked for, and all that it extends.

What `extends` names is a file, where it holds a `/` or ends in `.yaml` or `.yml` (relative to the file that says so),
else a pack. An entry point of the group `sovbroker.policies` names a package; each folder of it that holds a
`policy.yaml` is a pack of the folder's name, so that the shipped packs are found exactly as a stranger's are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from sovbroker.document import SIZE_MAX, Findings, MapNode, Node, Place, Word, decode, read, suggest
from sovbroker.policy.codes import DOCUMENT_CODES, NO_FILE
from sovbroker.policy.documents import DocumentDoc, ExtendDoc
from sovbroker.policy.language import DOCUMENT
from sovbroker.policy.parameters import bind, plain, spelling

__all__ = ["PACKS", "Part", "describe", "gather", "packs"]

PACKS: Final = "sovbroker.policies"
"""The entry-point group in which packs are found."""

FILES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a policy. `root` tells the file that was asked for from those that it extends; `pack`, a pack."""

    document: DocumentDoc
    node: MapNode
    root: bool
    pack: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file to read: what identifies it, what it is called in findings, and its content when it is at hand."""

    identity: str
    file: str
    folder: Path | None
    content: str | bytes
    root: bool = False
    given: Mapping[Word, Node] = field(default_factory=dict[Word, Node])
    place: Place | None = None


def packs() -> Mapping[str, Traversable]:
    """Return the installed packs: the policy file of each, by name. Of two with one name, the first package's."""
    found: dict[str, Traversable] = {}
    for entry in sorted(entry_points(group=PACKS), key=lambda entry: entry.value):
        for folder in files(entry.value).iterdir():
            policy = folder / "policy.yaml"
            if folder.is_dir() and policy.is_file():
                found.setdefault(folder.name, policy)
    return found


def describe() -> dict[str, dict[str, object]]:
    """Return what each installed pack says of itself and which parameters it has, as JSON types, by name."""
    found: dict[str, dict[str, object]] = {}
    for name, file in sorted(packs().items()):
        findings = Findings(DOCUMENT_CODES)
        document = decode(read(file.read_bytes(), f"{name}/policy.yaml", findings), DOCUMENT, findings)
        pack = None if document is None else document.pack
        found[name] = {
            "title": "" if pack is None else str(pack.title),
            "status": "" if pack is None else pack.status.value,
            "as_of": "" if pack is None else pack.as_of.isoformat(),
            "basis": [] if pack is None else [str(word) for word in pack.basis],
            "sources": [] if pack is None else [str(word) for word in pack.sources],
            "excludes": [] if pack is None else [str(word) for word in pack.excludes],
            "parameters": {}
            if document is None
            else {
                str(key): {"about": str(doc.about), "default": None if doc.default is None else plain(doc.default)}
                for key, doc in document.parameters.items()
            },
        }
    return found


def gather(content: str | bytes, file: str, findings: Findings) -> tuple[Part, ...]:
    """Read a policy's text and everything that it extends, each file once, the root first.

    What cannot be found or read is a finding; the parts that could be read are returned.
    """
    path = Path(file)
    pending = [_Wanted(str(path.resolve()), file, path.parent, content, root=True)]
    seen = {pending[0].identity}
    parts: list[Part] = []
    while pending:
        wanted = pending.pop(0)
        node = read(wanted.content, wanted.file, findings)
        if isinstance(node, MapNode):
            node = bind(node, wanted.given, findings, place=wanted.place or node.place)
            if node is None:
                return ()
        document = decode(node, DOCUMENT, findings)
        if document is None or not isinstance(node, MapNode):
            continue
        parts.append(Part(document, node, wanted.root, pack=wanted.folder is None))
        for extended in document.extends:
            more = _with(_find(extended.pack, wanted.folder, findings), extended)
            if more is None or more.identity in seen:
                continue
            if len(seen) >= FILES_MAX:
                findings.error(NO_FILE, extended.pack.place, f"the policy extends more than {FILES_MAX} files")
                break
            seen.add(more.identity)
            pending.append(more)
    return tuple(parts)


def _with(wanted: _Wanted | None, extended: ExtendDoc) -> _Wanted | None:
    """Return a file with the values for its parameters. The same file with other values is another one."""
    if wanted is None:
        return None
    given = "".join(sorted(f"{name}={spelling(value)};" for name, value in extended.given.items()))
    identity = f"{wanted.identity}?{given}" if given else wanted.identity
    return replace(wanted, identity=identity, given=extended.given, place=extended.pack.place)


def _find(name: Word, folder: Path | None, findings: Findings) -> _Wanted | None:
    """Return what `extends` names, or None with a finding. `folder` is None for a pack, which has no neighbours."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        if folder is None:
            findings.error(NO_FILE, name.place, f"a pack cannot extend the file `{name}`", "packs extend packs only")
            return None
        path = folder / name
        try:
            if not path.is_file() and path.exists():
                findings.error(NO_FILE, name.place, f"cannot read `{path}`: it is no file", "a pipe would block")
                return None
            with path.open("rb") as file:
                return _Wanted(str(path.resolve()), str(path), path.parent, file.read(SIZE_MAX + 1))
        except (OSError, ValueError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            message = f"cannot read `{path}`: {(reason or type(error).__name__).lower()}"
            findings.error(NO_FILE, name.place, message, "the path is relative to this file")
            return None
    known = packs()
    if name not in known:
        mend = suggest(name, known) or "a file is named with a `/` or by its ending `.yaml`"
        findings.error(NO_FILE, name.place, f"there is no pack `{name}`", mend)
        return None
    return _Wanted(f"pack:{name}", f"{name}/policy.yaml", None, known[name].read_bytes())
