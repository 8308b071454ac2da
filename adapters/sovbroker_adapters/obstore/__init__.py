"""A fast lane in front of another adapter: whole objects are read and written by Rust's object_store.

`fast: true` at a target of the configuration puts it there. `head`, `get` and `put` go by object_store, which costs a
tenth of what an SDK in Python does; everything else, and what object_store does not do as it is promised, goes by
`Binding.beside`, the store of the same container that the catalogue's adapter has opened: listings, deletions, copies,
uploads in parts, links, retention, bodies of more than 16 MiB, keys that object_store would change. So capabilities,
limits and names are those of the other adapter. `docs/decisions/0021` says what is left to it, and why.

The settings are those of the adapter `protocol` names, `s3` or `azure`, and one that is not honoured here is refused:

================== ================================================================================================
`protocol`         `s3`, `azure`
`signature`        `s3v4`
`checksums`        `when-supported` sends a SHA-256 beside each put; what is read is compared by its length alone
`api-version`      `2023-11-03`
`ca-bundle`        refused: certificates would be trusted beside the system's, not instead of them
`anonymous`        refused for Azure, where there is nothing of the kind
`ambient`          refused, as are profiles: give the keys themselves
================== ================================================================================================

What was stored is verified by the ETag, against the MD5 of what was sent, where it is one; else by the size that the
store beside reports of the object with this ETag.

object_store reads variables of the environment that nobody can keep from it. Those that matter are overridden, and
where that cannot be done they are refused by name. It also follows redirects. No other host can be reached, as
everything but the endpoint's host is sent to a proxy that does not exist; another port or path of the same host can.

Nor can be seen who answers. The endpoint's name is resolved once, before it is first used, and refused where one of its
addresses is link-local, a metadata service or this machine; object_store resolves it again, and may be told another.
The adapters of Python look at each connection (`docs/decisions/0025`): leave `fast` out where DNS is not to be trusted.

In a child of a process that has loaded it everything goes by the store beside: its threads do not survive a fork.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.obstore.client import Connection
from sovbroker_adapters.obstore.settings import Settings
from sovbroker_adapters.obstore.store import FastStore

__all__ = ["FastStore", "build"]

MISSING: Final = "obstore is not installed; run `pip install 'sovbroker[fast]'`"


def build(binding: Binding, /) -> FastStore:
    """Open the lane in front of `binding.beside`. Raises ConfigError when the binding cannot work; makes no request."""
    if find_spec("obstore") is None:
        raise ConfigError(MISSING)
    if binding.beside is None:
        raise ConfigError(f"{binding.target}: `obstore` stands in front of another adapter; say `fast: true` instead")
    settings = Settings.of(binding)
    return FastStore(Connection(binding, settings), settings, binding.beside)
