"""The connection to one container: the driver of each thread, repeated calls, errors."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from sovbroker.errors import ConfigError, NotFound, StoreError, Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.libcloud.failures import Asked, failure
from sovbroker_adapters.libcloud.settings import Settings
from sovbroker_adapters.libcloud.wire import Session, link
from sovbroker_adapters.processes import PerProcess

if TYPE_CHECKING:
    from requests import Response

__all__ = ["Connection"]

T = TypeVar("T")

FIRST_PAUSE: Final = 0.1
SCHEMES: Final = ("https", "http")


@dataclass(frozen=True, slots=True)
class Linked:
    """A driver, the container in its words, and the session that it sends by."""

    driver: Any
    container: Any
    session: Session


class Connection:
    """One container of one service. Safe for threads and after a fork; not picklable, as it holds secrets.

    A driver keeps what it asks and what it is answered in itself, so each thread has its own.
    """

    def __init__(self, binding: Binding, settings: Settings) -> None:
        self.target = binding.target
        self.container = binding.container
        self._binding = binding
        self._settings = settings
        self._check()
        self._threads = PerProcess(threading.local)

    def __repr__(self) -> str:
        """Name the container, and no secret."""
        return f"Connection(target={self.target!r}, container={self.container!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled")

    def ask(self, call: Callable[[Linked], T], *, key: str | None = None, again: bool = True) -> T:
        """Use the driver of this thread. Whatever fails is an error of ours. `again`: the call may be repeated."""
        asked = Asked(self.target, self.container, key)
        for pause in self._pauses(again=again):
            try:
                linked = self.linked()
                linked.session.questions = 0
                return call(linked)
            except Exception as error:
                found = failure(error, asked)
                if found is error:
                    raise
                if pause is None or not isinstance(found, Unavailable):
                    raise found from error
            time.sleep(pause)
        raise AssertionError  # the last pause is None

    def answer(self, call: Callable[[Linked], object], *, key: str) -> Response:
        """Let the driver ask for a body, and return the answer itself, unread."""

        def run(linked: Linked) -> Response:
            linked.session.last = None
            try:
                call(linked)
            except Exception:
                # Some drivers mind that all of an object comes where a range was asked for.
                if linked.session.last is None:
                    raise
            found = linked.session.last
            if found is None:
                raise Unavailable("the driver asked for nothing", target=self.target, key=key)
            return found

        return self.ask(run, key=key)

    def check_container(self, error: NotFound) -> None:
        """Raise NotFound of the container if it is missing: an answer without a body does not tell what was missing."""
        if error.key is None:
            raise error
        try:
            self.ask(lambda linked: linked.driver.connection.request(f"/{self.container}", method="HEAD"))
        except NotFound as missing:
            raise missing from error
        except StoreError:
            # The credentials may read objects and not ask for the bucket: then the first answer stands.
            return

    def linked(self) -> Linked:
        """Return the driver of this thread."""
        own = self._threads.get()
        found: Linked | None = getattr(own, "linked", None)
        if found is None:
            found = own.linked = self._make()
        return found

    def close(self) -> None:
        """Close the connections of this thread; those of others close when their threads end."""
        own = self._threads.take()
        found: Linked | None = None if own is None else getattr(own, "linked", None)
        if found is not None:
            found.session.close()

    def _pauses(self, *, again: bool) -> Iterator[float | None]:
        """Yield how long to wait after each attempt that fails, in seconds; None after the last."""
        pause = FIRST_PAUSE
        for _ in range(self._settings.attempts - 1 if again else 0):
            yield pause * (0.5 + random.random())  # noqa: S311 - jitter, not a secret
            pause *= 4
        yield None

    def _check(self) -> None:
        """Raise ConfigError for what could only fail later, and less clearly."""
        binding = self._binding
        if not binding.container or "/" in binding.container:
            raise ConfigError(f"{self.target}: a target needs the name of its container")
        if binding.endpoint is None or urlsplit(binding.endpoint).scheme not in SCHEMES:
            raise ConfigError(f"{self.target}: a target needs an endpoint that begins with https:// or http://")
        if urlsplit(binding.endpoint).path.strip("/"):
            raise ConfigError(f"{self.target}: the endpoint `{binding.endpoint}` has a path; drivers take a host only")
        check_host(binding.endpoint, hosts=binding.hosts, target=self.target)
        for name in ("access_key", "secret_key"):
            if not binding.credentials.get(name):
                raise ConfigError(f"{self.target}: no credentials: give `access_key` and `secret_key`")

    def _make(self) -> Linked:
        binding = self._binding
        base, session = import_module("libcloud.storage.base"), Session(binding, self._settings)
        provider = self._settings.driver.replace("-", "_")
        maker = import_module("libcloud.storage.providers").get_driver(provider)
        secrets = [binding.credentials.get(name) for name in ("access_key", "secret_key")]
        host = urlsplit(binding.endpoint or "").hostname
        own: dict[str, dict[str, Any]] = {"minio": {"host": host}, "digitalocean_spaces": {"signature_version": "4"}}
        driver = maker(*secrets, secure=True, **own.get(provider, {}))
        driver.region_name = binding.region or "us-east-1"
        # Or it would send every body in parts, three requests at least; and ask for the bucket before each object.
        driver.supports_s3_multipart_upload = False
        container = base.Container(name=self.container, extra={}, driver=driver)

        def get_container(container_name: str) -> object:
            del container_name  # there is one
            return container

        driver.get_container = get_container
        link(driver, session, binding)
        return Linked(driver, container, session)
