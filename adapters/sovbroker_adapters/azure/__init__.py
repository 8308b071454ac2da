"""Block blobs in a container of an Azure storage account: Azure, and the clouds on its technology (Bleu, Delos).

`Binding.container` is the container, `endpoint` the account's URL (`https://ACCOUNT.blob.SUFFIX`), `hosts` the only
hosts that a request may go to. Settings:

================== ==================================== ==============================================================
`suffix`           text                                 where the cloud's accounts live: an endpoint, a host or a `sas`
                                                        of another cloud is refused when the store is opened
`authority`        text                                 the host that gives tokens; not used yet
`account`          text                                 the account, where neither endpoint nor credentials name it
`addressing`       `host` (default), `path`             where the account stands in the URL; `path` is for emulators
`api-version`      `YYYY-MM-DD` (default 2023-11-03)    the version of the protocol; clouds of others lag behind
`attempts`         int (default 3)                      how often a call that may be repeated is made
`connect-timeout`  int (default 10), seconds
`read-timeout`     int (default 60), seconds
`page`             int (default 1000)                   how many names a listing asks for at a time
`ca-bundle`        path                                 certificates to trust instead of the usual ones
`put_max` …        int                                  the fields of `Limits`
a feature's name   `native`, `emulated`, …              how the service offers it (`ordered-list: emulated`)
================== ==================================== ==============================================================

Credentials are `access_key`, a key of the account, with `account` where the endpoint does not name it; or `sas`, a
shared access signature for the container: the token, or a URL that holds it. With a `sas` there is no `presign`. The
environment's proxies, credentials and certificates are not looked at, the metadata service of a cloud's machines is
never asked, and redirects are not followed.

`retention` counts as absent unless it is set, or a probe finds that it holds: the container has to be made with
version-level immutability. Then `retain` sets a locked policy on the blob, which nobody can take back, and a retained
blob is asked for before it is removed: the service would keep it as an older version and say that it is gone.

What was stored is verified by the MD5 that the service computes; else by the size that it reports.

Azure knows no uploads in parts, only blocks beside a blob that belong to nobody. So each upload has a marker, an empty
blob under `.sovbroker-uploads/` that holds its key and metadata; listings hide it, and no key may begin so. `abort`
removes the marker: no block can be added or joined any more, and the service drops the blocks after a week. A `put` or
a `commit` of the same key drops the blocks of its other uploads at once; their commit raises NotFound.

Names that the service would change are refused: it strips dots at the end of a segment, resolves `.` and `..`, and
takes a backslash for a slash.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from sovbroker.errors import ConfigError
from sovbroker.ports import Binding
from sovbroker_adapters.azure.account import Account
from sovbroker_adapters.azure.client import Connection
from sovbroker_adapters.azure.settings import Settings
from sovbroker_adapters.azure.store import AzureStore

__all__ = ["AzureStore", "build"]

MISSING: Final = "azure-storage-blob is not installed; run `pip install 'sovbroker[azure]'`"


def build(binding: Binding, /) -> AzureStore:
    """Open the container `binding.container`. Raises ConfigError when the binding cannot work; makes no request."""
    try:
        import_module("azure.storage.blob")
    except ModuleNotFoundError as error:
        raise ConfigError(MISSING) from error
    settings = Settings.of(binding)
    return AzureStore(Connection(binding, settings, Account.of(binding, settings)), settings)
