"""Objects in a bucket of Google Cloud Storage, or of another universe of its technology: S3NS is `s3nsapis.fr`.

`Binding.container` is the bucket, `endpoint` the URL of the service (default: `https://storage.` and the universe),
`hosts` the only hosts that a request for objects may go to. Settings:

================== ==================================== ==============================================================
`universe-domain`  text (default `googleapis.com`)      the universe; credentials of another one are refused
`token-endpoint`   URL                                  where a user's tokens come from (default: the universe's own)
`anonymous`        bool                                 send no token
`ambient`          bool                                 use the environment's credentials when the binding has none
`addressing`       `path`                               where the bucket stands in a URL that reads an object
`attempts`         int (default 3)                      how often a call that may be repeated is made
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`page`             int (default 1000)                   how many names a listing asks for at a time
`ca-bundle`        path                                 certificates to trust instead of the system's
`put_max` …        int                                  the fields of `Limits`
a feature's name   `native`, `absent`, `unsafe`         how the service offers it (`conditional-put: unsafe`)
================== ==================================== ==============================================================

`conditional-put` is native: an object is made on the condition that it has no generation yet. Set it to `unsafe` for an
emulator that ignores conditions.

`retention` counts as absent unless it is set, or a probe finds that it holds: the bucket has to be made with object
retention. Then `retain` sets a locked one, which nobody can take back, and an object is asked whether it is retained
before it is removed: a bucket with versions would keep it as an older one and say that it is gone.

The credential is `service_account`: the JSON text of a service account's key, or the path of a file that holds it and
that nobody else can read. The adapter signs its own tokens with it, so that no token is ever asked for; the addresses
that stand in a key are not looked at. With `ambient`, the file that GOOGLE_APPLICATION_CREDENTIALS names or gcloud's
own is used: a service account's key, or a user's, whose tokens come from the `token-endpoint`. Links (`presign`) need a
service account's key. The environment's proxies, endpoints, certificates and projects are not looked at, the metadata
service of a cloud's machines is never asked.

What was stored is verified by its CRC32C, and so is what is read where all of it is.

Uploads in parts
----------------
Parts are objects of their own, below `.sovbroker-parts/`, that the service composes into the whole, 32 at a time and
in as many rounds as it takes. The other way would be the multipart requests of the XML interface: fake-gcs-server,
which the tests run against, does not have them, so nothing would prove that they work; and composing tells the CRC32C
of what was joined.
Listings do not show what is below `.sovbroker-parts/`, and no other call takes such a key. An object `uploads/ID` there
stands for an unfinished upload and holds its key and its metadata.

A bucket's soft deletion keeps removed parts for its time, and bills for them; a retention policy forbids to remove
them; classes with a shortest time of storage bill for it. A rule of the bucket's lifecycle that deletes what is older
than a week below this prefix clears what broke off.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.gcs.settings import Settings

if TYPE_CHECKING:
    from sovbroker_adapters.gcs.store import GcsStore

__all__ = ["build"]

NEEDED: Final = ("google.cloud.storage", "google_crc32c", "requests")
MISSING: Final = "google-cloud-storage is not installed; run `pip install 'sovbroker[gcs]'`"


def build(binding: Binding, /) -> GcsStore:
    """Open the bucket `binding.container`. Raises ConfigError when the binding cannot work; makes no request."""
    settings = Settings.of(binding)
    try:
        for name in NEEDED:
            import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    from sovbroker_adapters.gcs.client import Connection  # noqa: PLC0415 - it needs the SDK
    from sovbroker_adapters.gcs.store import GcsStore  # noqa: PLC0415 - as above

    return GcsStore(Connection(binding, settings), settings)
