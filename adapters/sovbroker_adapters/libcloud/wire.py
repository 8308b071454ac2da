"""What a driver sends by: one session that talks to the target's hosts, and takes no error for an answer.

Drivers let some errors pass as if they were answers, and hand out others as texts. So every status that is no success
ends here, before a driver sees it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from sovbroker.errors import Unavailable
from sovbroker.ports import Binding
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.libcloud.bodies import Outgoing
from sovbroker_adapters.libcloud.settings import Settings
from sovbroker_adapters.peers import watch_session

__all__ = ["AnsweredError", "Session", "link"]

SUCCESS: Final = range(200, 300)
SAID_MAX: Final = 1 << 16
QUESTIONS_MAX: Final = 8


class AnsweredError(Exception):
    """The service answered with a status that is no success."""

    def __init__(self, status: int, said: str, *, of_object: bool) -> None:
        super().__init__(f"status {status}: {said[:200]}")
        self.status = status
        self.said = said
        self.of_object = of_object


class Session(requests.Session):
    """The session of one thread. `last` is the last answer; `questions` counts those since it was set to 0."""

    def __init__(self, binding: Binding, settings: Settings) -> None:
        super().__init__()
        self.trust_env = False
        self.last: requests.Response | None = None
        self.questions = 0
        self._binding = binding
        self._settings = settings
        watch_session(self, target=binding.target)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # noqa: ANN401 - the SDK's
        """Send a request whose host is allowed. Raises PermissionDenied, AnsweredError, and what the network does."""
        url = request.url or ""
        check_host(url, hosts=self._binding.hosts, target=self._binding.target)
        self.questions += 1
        if self.questions > QUESTIONS_MAX:
            raise Unavailable("the store's listing does not end", target=self._binding.target)
        if isinstance(request.body, Outgoing):
            # Of an empty body the library would send chunks, which storage services do not take.
            request.headers.pop("Transfer-Encoding", None)
            request.headers["Content-Length"] = str(len(request.body))
        settings = self._settings
        self.last = None
        own: dict[str, Any] = {
            "allow_redirects": False,
            "timeout": (settings.connect_timeout, settings.read_timeout),
            "verify": True if settings.ca_bundle is None else str(settings.ca_bundle),
            "proxies": {},
        }
        answer = super().send(request, **(options | own))
        if answer.status_code not in SUCCESS:
            said = answer.raw.read(SAID_MAX, decode_content=True) if options.get("stream") else answer.content
            answer.close()
            path = (request.path_url or "").partition("?")[0].strip("/")
            raise AnsweredError(answer.status_code, said[:SAID_MAX].decode(errors="replace"), of_object="/" in path)
        if answer.headers.get("Content-Encoding", "identity") not in {"identity", ""}:
            answer.close()
            raise Unavailable("the store answers in another encoding than was stored", target=self._binding.target)
        # Else the library guesses it from the letters, and names keys by what it guessed.
        answer.encoding = "utf-8"
        self.last = answer
        return answer


def link(driver: Any, session: Session, binding: Binding) -> None:  # noqa: ANN401 - the SDK is untyped
    """Let a driver send by `session`, to the endpoint of the binding, whatever its own tables and settings say."""
    connection = driver.connection
    url = urlsplit(binding.endpoint or "")
    connection.host = url.hostname
    connection.secure = 1 if url.scheme == "https" else 0
    connection.port = url.port or (443 if connection.secure else 80)
    connection.proxy_url = None
    # A variable of the environment would make it try again, for as long as it likes.
    connection.retryCls = _Once
    connection.conn_class = _maker(session)
    # The driver has made one already, to a host of its own; nothing was sent by it.
    connection.connection = None


class _Once:
    """Stands in the place of the library's own repeating."""

    def __init__(self, **_: object) -> None:
        """Take what the library gives."""

    def __call__(self, call: Any) -> Any:  # noqa: ANN401 - the SDK is untyped
        """Return the call as it is."""
        return call


def _maker(session: Session) -> Any:  # noqa: ANN401 - the SDK is untyped
    maker: Any = import_module("libcloud.http").LibcloudConnection

    def make(**named: Any) -> Any:  # noqa: ANN401 - as above
        made = maker(host=named["host"], port=named["port"], secure=named["secure"])
        made.session.close()
        made.session = session
        session.timeout = None  # type: ignore[attr-defined]  # the library asks for it, and sends it on; ours counts
        scheme = "https" if named["secure"] else "http"
        made.host = f"{scheme}://{named['host']}:{named['port']}"
        return made

    return make
