"""Parts of a file that is being checked: what is there, in its form; what is not, as nothing."""

from __future__ import annotations

from sovbroker.document import ListNode, MapNode, Node, Scalar, Word

__all__ = ["entries", "items", "keys", "maps", "text", "texts"]


def keys(node: Node | None) -> tuple[Word, ...]:
    """Return the keys of a map."""
    return node.keys() if isinstance(node, MapNode) else ()


def entries(node: Node | None) -> tuple[tuple[Word, Node], ...]:
    """Return the entries of a map."""
    return node.entries if isinstance(node, MapNode) else ()


def items(node: Node | None) -> tuple[Node, ...]:
    """Return the items of a list."""
    return node.items if isinstance(node, ListNode) else ()


def texts(node: Node | None) -> tuple[Word, ...]:
    """Return the texts of a list."""
    return tuple(item.word() for item in items(node) if isinstance(item, Scalar))


def text(node: Node | None) -> Word | None:
    """Return a text, or None."""
    return node.word() if isinstance(node, Scalar) else None


def maps(node: Node | None) -> tuple[MapNode, ...]:
    """Return the maps of a list."""
    return tuple(item for item in items(node) if isinstance(item, MapNode))
