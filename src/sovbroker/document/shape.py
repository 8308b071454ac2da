"""What a shape is: what a node must look like, and the value that it then is.

A shape is plain data, so that a JSON Schema can be made from the same declaration that decodes. Decoding records every
finding and raises `Invalid` for a value that cannot be had; lists and maps then leave that item out and go on.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar, assert_never

from sovbroker.document.nodes import Findings, Kind, ListNode, MapNode, Node, Scalar

__all__ = ["Invalid", "Shape", "decode"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

QUOTE_MAX: Final = 60


class Invalid(Exception):  # it is not an error for callers: `decode` turns it into None
    """The node cannot be decoded. The findings say why."""


class Shape(Protocol[T_co]):
    """What a node must look like."""

    def decode(self, node: Node, findings: Findings) -> T_co:
        """Return the node's value. Raises Invalid, with the finding recorded."""
        ...


def decode(node: Node | None, shape: Shape[T], findings: Findings) -> T | None:
    """Return the value of a node, or None when it cannot be had; `findings` then say why.

    A value returned while `findings.failed` is true lacks the parts that were wrong: check further, but do not use it.
    """
    if node is None:
        return None
    try:
        return shape.decode(node, findings)
    except Invalid:
        return None


def what(node: Node) -> str:
    """Name the kind of a node for a message."""
    match node:
        case Scalar():
            if node.plain and not node.text:
                return "nothing"
            return f"the text `{node.text[:QUOTE_MAX]}`"
        case ListNode():
            return "a list"
        case MapNode():
            return "a map"
        case _:
            assert_never(node)


def wrong_kind(node: Node, wanted: str, findings: Findings) -> Invalid:
    """Record that a node is of the wrong kind, and return the exception to raise."""
    mend = ""
    match node:
        case MapNode() if "list" in wanted:
            mend = "put `- ` before each item, or brackets around them"
        case Scalar() if "list" in wanted and node.text:
            mend = "put brackets around it"
        case Scalar() if "map" in wanted and node.text:
            mend = "put a `:` and a space between a key and its value"
        case ListNode() if "map" in wanted:
            mend = "remove the `- ` or the brackets"
        case _:
            pass
    findings.error(Kind.TYPE, node.place, f"expected {wanted}, found {what(node)}", mend)
    return Invalid()
