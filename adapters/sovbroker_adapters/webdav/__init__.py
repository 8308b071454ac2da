"""Objects as files of a WebDAV server, by httpx: for document stores (Nextcloud, and bindings of a contract).

`Binding.endpoint` is the URL of the server's WebDAV root (`https://cloud.example/remote.php/dav/files/USER`),
`container` a folder below it that exists and is sovbroker's alone: what others put there is not listed, and is lost
where an object of the same name comes. `hosts` are the only hosts that a request may go to. Settings:

================== ==================================== ==============================================================
`letters`          `lower` (default), `any`             `lower`: upper-case ones are spelled: servers may fold them
`digests`          `sha1` (default), `md5`, `none`      which digest is compared with the one that the server may tell
`etags`            `opaque` (default), `digest`         `digest`: every ETag is that digest, or nothing is read
`trash`            `keep` (default), `skip`             `skip`: ask a Nextcloud to remove for good what is removed
`anonymous`        bool                                 send no credentials
`cleartext`        bool                                 let credentials go to another machine over `http://`
`attempts`         int (default 3)                      how often a call that may be repeated is made
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`ca-bundle`        path                                 certificates to trust instead of the usual ones
`key_max` …        int                                  `key_max` and `put_max` of `Limits`
a feature's name   `native`, `absent`, `unsafe`         `conditional-put`, `range` and `copy`: how the server offers it
================== ==================================== ==============================================================

Credentials are `username` and `password`, or `token` (bearer). The environment's proxies, certificates and `.netrc`
are not looked at; cookies are not kept, redirects not followed.

Keys become names that every server keeps as they are (`sovbroker_adapters.webdav.names`). A body is sent under a name
of its own in the hidden collection `=new`, what the server holds of it is compared (size, and the digest where the
server tells one), and then it is moved to its name. Many servers remove what is there before they move: a reader that
finds nothing asks whether such a move is under way, and waits for a moment; a listing may miss the object meanwhile.
`conditional-put` relies on `Overwrite: F` and counts as absent unless it is set: most servers look first and then move.

What waits in `=new` for more than a week was left by a process that was killed, and is removed by the first put of a
later one. There are no metadata and no uploads in parts. Collections that have become empty stay: removing one would
remove what another writer has just put into it.
"""

from __future__ import annotations

from sovbroker.ports import Binding
from sovbroker_adapters.webdav.client import Connection
from sovbroker_adapters.webdav.settings import Settings
from sovbroker_adapters.webdav.store import WebdavStore

__all__ = ["WebdavStore", "build"]


def build(binding: Binding, /) -> WebdavStore:
    """Open the folder `binding.container`. Raises ConfigError when the binding cannot work; makes no request."""
    settings = Settings.of(binding)
    return WebdavStore.over(Connection(binding, settings), settings)
