"""The checks that take time: links that end, and objects that nobody may remove for a while."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from sovbroker.errors import PermissionDenied
from sovbroker.probing.run import KEPT, AbsentError, Run, UnsafeError

__all__ = ["Links", "check_retention"]

SHORT: Final = timedelta(seconds=1)
LONG: Final = timedelta(minutes=5)
MARGIN: Final = timedelta(milliseconds=1500)
SIZE: Final = 300
TIMEOUT: Final = 30.0


class Links:
    """A link that reads, and one that must not any more. Make it early, and `check` late: then nobody waits."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._body = run.put("linked", SIZE, seed=5)
        self._short = run.store.presign(run.key("linked"), expires=SHORT)
        # By the service's clock, which counts.
        self._ends = datetime.now(UTC) + SHORT + MARGIN + max(-run.skew, timedelta(0))

    def check(self) -> str:
        """Read by a fresh link; then by one that has ended, and by the bare address: both must be refused."""
        link = self._run.store.presign(self._run.key("linked"), expires=LONG)
        if fetch(link) != self._body:
            raise AbsentError("the link does not lead to the object")
        if fetch(urlunsplit(urlsplit(link)._replace(query=""))) == self._body:
            raise UnsafeError("the object can be read without the link's signature: the container is public")
        left = (self._ends - datetime.now(UTC)).total_seconds()
        time.sleep(max(0.0, left))
        if fetch(self._short) == self._body:
            raise UnsafeError("a link can be used after it has ended")
        return "reads without credentials, and not after its end"


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(  # noqa: PLR0917 - the library's signature
        self,
        req: object,  # noqa: ARG002
        fp: object,  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: object,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        """Return None: the answer stands, and is no success."""
        return


def fetch(url: str) -> bytes | None:
    """Return what a link leads to, up to one byte more than a specimen has; None when it is refused.

    Follows nobody elsewhere, and looks at no proxy.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    try:
        with opener.open(url, timeout=TIMEOUT) as answer:
            return bytes(answer.read(SIZE + 1))
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except (OSError, HTTPException) as error:
        raise AbsentError(f"the link cannot be followed from here: {error}") from error


def check_retention(run: Run) -> str:
    """Retain: the object is not removed, and is read as before."""
    store, key = run.holding, run.key(KEPT)
    if store.inspect().locks is False:
        raise AbsentError("the container was made without locks")
    data = run.put(KEPT, SIZE, seed=6)
    until = datetime.now(UTC) + run.hold + max(run.skew, timedelta(0))
    store.retain(key, until=until)
    run.retained = until
    try:
        store.delete(key)
    except PermissionDenied:
        if run.read(KEPT) != data:
            raise UnsafeError("a retained object is another now") from None
        return f"an object cannot be removed before its time; tried for {run.hold.total_seconds():g} s"
    raise UnsafeError("a retained object can be removed")
