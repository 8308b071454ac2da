"""Objects in a folder of this machine, every feature but `presign`.

`Binding.container` is the folder. It must exist (`sovbroker init` makes it), unless the setting `create` is true.

An object is a folder below `objects/`, named after its key, segment by segment; in it lie `%meta.json` (key,
size, metadata, and the name of the body's file) and the body, which is exactly the bytes that were put::

    entry = json.loads((folder / "%meta.json").read_text())
    body = (folder / entry["body"]).read_bytes()

The entry is replaced by a rename, which is the commit: a reader sees the old body with the old metadata or the new with
the new. Both files and their folders are synced before a call returns. What a crash leaves lies in `temporary/` and is
swept when the store is opened a day later. Writers, of any process, take turns by a lock on the file `lock`.
"""

from __future__ import annotations

from pathlib import Path

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.local.disk import Disk
from sovbroker_adapters.local.store import LocalStore

__all__ = ["LocalStore", "build"]


def build(binding: Binding, /) -> LocalStore:
    """Open the folder `binding.container`. The only setting is `create`: make the folder when it is missing."""
    unknown = set(binding.settings) - {"create"}
    if unknown:
        raise ConfigError(f"{binding.target}: unknown setting `{min(unknown)}` of a local target; known: create")
    if not binding.container:
        raise ConfigError(f"{binding.target}: a local target needs the folder in which its objects lie")
    disk = Disk(binding.target, Path(binding.container).absolute())
    if binding.settings.get("create") is True:
        with disk.telling():
            disk.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk.sweep()
    return LocalStore(disk)
