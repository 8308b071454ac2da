"""Objects in a container of OpenStack's object storage, Swift, by httpx: with tokens of Keystone, or passwords of v1.

`Binding.endpoint` is the root of the object storage (`https://storage.example`), `container` a container that exists,
`hosts` the only hosts that a request may go to. The URL of the account comes from whoever gives the token; it is used
only if it has the endpoint's scheme, host and port. `region` picks one where the catalogue names several. Settings:

================== ==================================== ==============================================================
`authority`        URL                                  who gives tokens: Keystone, `https://auth.example/v3`
`auth`             `v3` (default), `v1`                 how it is asked for one
`interface`        `public` (default), `internal`       which of the catalogue's endpoints is meant
`link-digest`      `sha256` (default), `sha512`, `sha1` how links are signed; old services know only `sha1`
`cleartext`        bool                                 let credentials go to another machine over `http://`
`attempts`         int (default 3)                      how often a call that may be repeated is made
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`ca-bundle`        path                                 certificates to trust instead of the usual ones
`put_max` …        int                                  the fields of `Limits`
a feature's name   `native`, `emulated`, …              how the service offers it (`conditional-put: native`)
================== ==================================== ==============================================================

Credentials are `username` and `password`, with `project_id` or `project_name`, `user_domain_name` (`Default` without
one) and `project_domain_name` (the user's without one); or `application_credential_id` and
`application_credential_secret`; for v1 `username` and `password` alone. With the prefix `OS` these are OpenStack's own
variables. `temp_url_key`, a key of the account or of the container, allows `presign`. The environment's proxies,
certificates and `.netrc` are not looked at, cookies are not kept, redirects not followed.

What was stored is verified by the ETag, against the MD5 of what was sent, and so is an object that is read whole. A
token that is refused is renewed once.

`conditional-put` is unsafe unless it is set: Swift looks for the object before it takes the body, and not again when it
stores it, so that of writers who race several win.

A large object is a manifest (SLO) of segments; they are under `.sovbroker-uploads/` in the same container, as are the
marks of unfinished uploads. Listings hide them, and no key may begin so. What removes or replaces a large object
removes its segments; a copy of one is a plain object, or has segments of its own.

Metadata values of more than 256 bytes are cut in pieces. Listings of Swift may lag behind for a moment, `Upload.parts`
with them; `head` and `get` may answer with what was replaced just now where a replica was out of reach.
"""

from __future__ import annotations

from sovbroker.ports import Binding
from sovbroker_adapters.swift.access import Access
from sovbroker_adapters.swift.client import Connection
from sovbroker_adapters.swift.settings import Settings
from sovbroker_adapters.swift.store import SwiftStore

__all__ = ["SwiftStore", "build"]


def build(binding: Binding, /) -> SwiftStore:
    """Open the container `binding.container`. Raises ConfigError when the binding cannot work; makes no request."""
    settings = Settings.of(binding)
    return SwiftStore(Connection(binding, settings, Access.of(binding, settings)), settings)
