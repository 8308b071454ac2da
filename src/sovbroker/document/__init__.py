r"""YAML files that people write, read with positions and decoded by declared shapes.

Every scalar is a string until a shape decides its type: `NO` stays Norway and `1.10` stays 1.10. Nothing is guessed:
duplicate keys, unknown keys, anchors, aliases, tags and merge keys are refused. Every finding is collected, each with
file, line, column and, where a name is nearly right, a suggestion. The caller gives the codes, and raises its own
error::

    @dataclass(frozen=True, slots=True)
    class Server:
        host: Word                                  # a str that knows where it was written
        port: int = 443

    SERVER = Record(Server, {"host": required(Text()), "port": optional(Whole(least=1, most=65535))})

    findings = Findings({kind: "SF001" for kind in Kind})
    node = read("servers:\n  - {host: a, prot: 1}\n", "servers.yaml", findings)
    value = decode(node, Record(dict, {"servers": required(ListOf(SERVER))}), findings)
    for diagnostic in findings.diagnostics: print(diagnostic)      # unknown key `prot`; did you mean `port`?
"""

from sovbroker.document.containers import Anything, ByKind, Field, ListOf, MapOf, Record, Single, optional, required
from sovbroker.document.nodes import Findings, Kind, ListNode, MapNode, Node, Place, Scalar, Source, Word, suggest
from sovbroker.document.reader import DEPTH_MAX, SIZE_MAX, read
from sovbroker.document.scalars import Choice, Day, Flag, Parsed, Text, Whole
from sovbroker.document.shape import Invalid, Shape, decode

__all__ = [
    "DEPTH_MAX",
    "SIZE_MAX",
    "Anything",
    "ByKind",
    "Choice",
    "Day",
    "Field",
    "Findings",
    "Flag",
    "Invalid",
    "Kind",
    "ListNode",
    "ListOf",
    "MapNode",
    "MapOf",
    "Node",
    "Parsed",
    "Place",
    "Record",
    "Scalar",
    "Shape",
    "Single",
    "Source",
    "Text",
    "Whole",
    "Word",
    "decode",
    "optional",
    "read",
    "required",
    "suggest",
]
