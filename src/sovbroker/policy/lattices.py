"""The lattice of a policy: its levels, the categories that it mentions, and the aliases that mean something in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sovbroker.document import Findings, Word, suggest
from sovbroker.errors import InvalidArgument
from sovbroker.labels import Category, Lattice
from sovbroker.policy import codes
from sovbroker.policy.documents import CategoryDoc
from sovbroker.policy.sources import Part
from sovbroker.policy.vocabulary import ALIASES, CATEGORIES

__all__ = ["build_lattice"]


def build_lattice(parts: Sequence[Part], findings: Findings) -> Lattice | None:
    """Return the lattice that the files declare, or None with findings."""
    levels = _levels(parts, findings)
    if not levels:
        return None
    declared = _declared(parts, levels, findings)
    categories = dict(declared)
    for name in _mentioned(parts):
        _take(name, levels, categories)
    for category in list(declared.values()):
        for implied in category.implies:
            _take(implied, levels, categories)
    if not _sound(parts, categories, levels, findings):
        return None
    bare = Lattice(levels, categories)
    return Lattice(levels, categories, _aliases(parts, bare, findings))


def _levels(parts: Sequence[Part], findings: Findings) -> tuple[str, ...]:
    """Return the chain of the root, or else of the one pack that has one."""
    root, *others = parts
    if root.node.get("levels") is not None:
        return tuple(map(str, root.document.levels or ()))
    chains = [part.document for part in others if part.document.levels]
    if len({document.levels for document in chains}) > 1:
        message = f"{len(chains)} packs give levels, and they differ"
        findings.error(codes.NO_LEVELS, root.node.place, message, "give `levels` in the policy itself")
        return ()
    if not chains:
        findings.error(
            codes.NO_LEVELS,
            root.node.place,
            "the policy has no levels",
            "add `levels: [public, internal, confidential, restricted]`, from low to high",
        )
        return ()
    return tuple(map(str, chains[0].levels or ()))


def _declared(parts: Sequence[Part], levels: Sequence[str], findings: Findings) -> dict[str, Category]:
    found: dict[str, Category] = {}
    for part in parts:
        for name, doc in part.document.categories.items():
            category = _category(name, doc, levels, findings)
            known = found.setdefault(str(name), category)
            if known != category:
                findings.error(
                    codes.CONFLICT,
                    name.place,
                    f"category `{name}` is defined differently in another file",
                    "give one of the two another name",
                )
    return found


def _category(name: Word, doc: CategoryDoc, levels: Sequence[str], findings: Findings) -> Category:
    minimum = doc.minimum
    if minimum is not None and minimum not in levels:
        message = f"`{minimum}` is not a level"
        findings.error(codes.NO_LABEL, minimum.place, message, suggest(minimum, levels))
        minimum = None
    if name in levels:
        findings.error(codes.CONFLICT, name.place, f"`{name}` is already a level", "give the category another name")
    implies = frozenset(str(word) for word in doc.implies)
    return Category(str(name), implies, None if minimum is None else str(minimum))


def _mentioned(parts: Sequence[Part]) -> Iterable[str]:
    """Yield every name that a file uses where a category may stand."""
    aliases = dict(ALIASES)
    for part in parts:
        document = part.document
        texts = [str(word) for word in document.require]
        texts += [str(rule.label) for rule in document.classify]
        texts += [str(waiver.label) for waiver in document.waivers]
        texts += [str(invariant.label) for invariant in document.always]
        texts += [str(word) for word in document.aliases.values()]
        texts += [] if document.default is None else [str(document.default)]
        for text in texts:
            for name in (text.strip(), *(piece.strip() for piece in text.split("+"))):
                yield name
                yield from aliases.get(name, ())


def _take(name: str, levels: Sequence[str], categories: dict[str, Category]) -> None:
    """Add a built-in category, with all that it implies, unless a file says otherwise."""
    known = CATEGORIES.get(name)
    if known is None or name in categories or name in levels:
        return
    minimum = known.minimum if known.minimum in levels else None
    categories[name] = Category(name, known.implies, minimum)
    for implied in known.implies:
        _take(implied, levels, categories)


def _sound(parts: Sequence[Part], categories: dict[str, Category], levels: Sequence[str], findings: Findings) -> bool:
    """Check that everything implied exists, and that no name is a level and a category."""
    sound = not set(categories) & set(levels)
    for part in parts:
        for doc in part.document.categories.values():
            for word in doc.implies:
                if word not in categories:
                    sound = False
                    mend = suggest(word, (*categories, *CATEGORIES))
                    findings.error(codes.NO_LABEL, word.place, f"`{word}` is not a category", mend)
    return sound


def _aliases(parts: Sequence[Part], bare: Lattice, findings: Findings) -> dict[str, str]:
    """Return the built-in aliases that mean something here, and those of the files."""
    known = {*bare.levels, *bare.categories}
    found = {}
    for spelling, meanings in ALIASES:
        meaning = next((m for m in meanings if m in known), None)
        if meaning is not None and spelling not in known:
            found[spelling] = meaning
    declared: dict[str, str] = {}
    for part in parts:
        for spelling, label in part.document.aliases.items():
            if spelling in known:
                message = f"`{spelling}` is a level or a category, and cannot be an alias"
                findings.error(codes.CONFLICT, spelling.place, message, "remove it, or rename it")
                continue
            try:
                bare.mask_of_text(label)
            except InvalidArgument as error:
                message, _, mend = str(error).partition("; ")
                findings.error(codes.NO_LABEL, label.place, message, mend)
                continue
            if declared.setdefault(str(spelling), str(label)) != label:
                message = f"alias `{spelling}` means something else in another file"
                findings.error(codes.CONFLICT, spelling.place, message, "keep one of the two")
    return {**found, **declared}
