"""Sessions that send nothing but what a check lets through, and follow nobody elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

from requests import Session
from requests.adapters import HTTPAdapter

from sovbroker_adapters.peers import watch_session

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

__all__ = ["guarded_session"]

POOL: Final = 32


class _Guard(HTTPAdapter):
    """The transport: every request passes it, whoever makes it."""

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check
        super().__init__(pool_maxsize=POOL, max_retries=0)

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - as the library's
        """Send a request that passes the check."""
        self._check(request.url or "")
        return super().send(request, *args, **kwargs)


class _Session(Session):
    """A session that takes no answer for a redirect."""

    def get_redirect_target(self, resp: Response) -> None:  # noqa: ARG002 - the library's signature
        """Return None: nobody sends us elsewhere."""
        return


def guarded_session(check: Callable[[str], None], *, verify: bool | str, target: str) -> Session:
    """Return a session whose every request's URL passes `check`, and that looks at who answers before it sends.

    It looks at no variable and no file of the environment, keeps no cookies, and never asks again by itself.
    """
    session = _Session()
    session.trust_env = False
    session.verify = verify
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    guard = _Guard(check)
    for scheme in ("https://", "http://"):
        session.mount(scheme, guard)
    watch_session(session, target=target)
    return session
