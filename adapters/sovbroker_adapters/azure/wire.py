"""The SDK's transport, held to the hosts of one target. It needs the SDK."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, Self

from azure.core.exceptions import AzureError, ServiceResponseError
from azure.core.pipeline import transport as sdk
from requests import Session
from requests.adapters import HTTPAdapter

from sovbroker.ports import patience
from sovbroker_adapters.azure.settings import Settings
from sovbroker_adapters.peers import watch_session

__all__ = ["Wire"]

POOL: Final = 32
BLOCK: Final = 1 << 18
SIGNATURE: Final = re.compile(r"sig=[^&\s'\")]*")
# What the SDK can read; whether it is the range that was asked for is seen later.
READABLE: Final = re.compile(r"\S+ [^/]*/\d+")


class Wire:
    """A transport that sends what `check` lets through: it is called with each URL, and raises.

    Who answers is looked at, too, before anything is sent.
    """

    def __init__(self, check: Callable[[str], None], settings: Settings, *, target: str) -> None:
        session = Session()
        # No proxies, certificates or passwords of the environment's variables and files.
        session.trust_env = False
        session.headers.clear()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_connections=POOL, pool_maxsize=POOL, max_retries=0))
        watch_session(session, target=target)
        # The SDK gives this name to whoever asks for it, so that its type is not known.
        transport: Any = sdk
        self._inner: Any = transport.RequestsTransport(
            session=session,
            session_owner=True,
            use_env_settings=False,
            connection_verify=True if settings.ca_bundle is None else str(settings.ca_bundle),
            connection_data_block_size=BLOCK,
        )
        self._check = check
        self._settings = settings

    def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401 - the SDK's request and answer
        """Send a request, if it goes to a host of the target."""
        self._check(request.url)
        caller = patience()
        options["connection_timeout"] = caller.left(self._settings.connect_timeout)
        options["read_timeout"] = caller.left(self._settings.read_timeout)
        try:
            answer = self._inner.send(request, **options)
        except AzureError as error:
            if "sig=" not in str(error):
                raise
            # The URL holds the secret, and the library's message the URL.
            raise type(error)(SIGNATURE.sub("sig=…", str(error))) from None
        if answer.status_code < HTTPStatus.MULTIPLE_CHOICES and "x-ms-version" not in answer.headers:
            # The service says in each answer which version of it that is; a portal or a proxy in between does not.
            answer.close()
            raise ServiceResponseError(f"HTTP {answer.status_code} of something in between: it names no x-ms-version")
        span = answer.headers.get("Content-Range")
        if span and READABLE.fullmatch(span) is None:
            # The SDK would stumble over it, and leave the answer open.
            answer.close()
            raise ServiceResponseError(f"the answer's range is `{span[:80]}`")
        return answer

    def open(self) -> None:
        """Be ready; it is."""
        self._inner.open()

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def __enter__(self) -> Self:
        """Open."""
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
