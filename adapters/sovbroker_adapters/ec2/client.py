"""The connection to the service: the SDK's client, what it is held to, and its errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn, cast

from sovbroker.errors import StoreError
from sovbroker.ports import Binding, patience
from sovbroker_adapters.answers import broken, entries
from sovbroker_adapters.attempts import repeated
from sovbroker_adapters.ec2.failures import failure
from sovbroker_adapters.hosts import check_host
from sovbroker_adapters.processes import PerProcess
from sovbroker_adapters.sessions import PLAIN, hold, isolated
from sovbroker_adapters.settings import Reading

__all__ = ["Connection"]

POOL: Final = 32
REDIRECTS: Final = range(300, 400)
ROOT: Final = re.compile(rb"\s*(?:<\?xml[^>]*\?>)?\s*<(\w+)[\s>]")
REFUSED: Final = re.compile(rb"<return>\s*false\s*</return>")


class _Unshown(str):
    """What the SDK does not print: it logs the parameters of all that it sends."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} characters>"


class Connection:
    """The service of one region. Safe for threads and after a fork; not picklable, as it holds secrets."""

    def __init__(self, binding: Binding) -> None:
        reading = Reading(binding)
        self.target = binding.target
        self.account = binding.container
        self.zone = reading.text("zone")
        self.subnet = reading.text("subnet")
        self.group = reading.text("security-group")
        self.within = reading.number("within", 60)
        self._connect = reading.number("connect-timeout", 10)
        self._read = reading.number("read-timeout", 60)
        self._attempts = reading.number("attempts", 3)
        self._binding = binding
        self._clients = PerProcess(self._client)

    def __repr__(self) -> str:
        """Name the region, and no secret."""
        return f"Connection(target={self.target!r}, region={self._binding.region!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: secrets do not travel."""
        raise TypeError("a connection cannot be pickled: it holds secrets")

    def ask(self, operation: str, *, again: bool, **asked: object) -> Mapping[str, Any]:
        """Make a call, several times where it may be made `again`. Whatever fails is an error of ours."""

        def once() -> Mapping[str, Any]:
            patience().left(self._read)
            try:
                return cast("Mapping[str, Any]", getattr(self._clients.get(), operation)(**asked))
            except Exception as error:
                failed = failure(error, target=self.target)
                if failed is error:
                    raise
                raise failed from error

        return repeated(once, attempts=self._attempts, again=again)

    def pages(self, operation: str, name: str, *, most: int = 0, **asked: object) -> Iterator[Mapping[str, Any]]:
        """Yield every object of a list, page by page of at most `most`; 0 where the service knows no pages.

        Raises Unavailable for a page that lacks the list, and for one that leads back to itself.
        """
        limits: dict[str, object] = {"MaxResults": most} if most else {}
        seen: set[str] = set()
        while True:
            answer = self.ask(operation, again=True, **asked, **limits)
            yield from entries(answer, name, target=self.target)
            token = answer.get("NextToken")
            if not token:
                return
            if not isinstance(token, str) or token in seen:
                raise broken("pages that lead in a circle", target=self.target)
            seen.add(token)
            limits["NextToken"] = token

    def close(self) -> None:
        """Close the connections of this process."""
        client = self._clients.take()
        if client is not None:
            client.close()

    def _client(self) -> Any:  # noqa: ANN401 - the SDK makes the class when it runs
        from botocore.config import Config  # noqa: PLC0415 - the SDK is loaded when the first call needs it

        secrets = self._binding.credentials
        limits = {"connect_timeout": self._connect, "read_timeout": self._read}
        config = cast("Any", Config)(**PLAIN, **limits, max_pool_connections=POOL)  # the stubs lag behind the options
        client = cast("Any", isolated()).create_client(
            "ec2",
            region_name=self._binding.region,
            endpoint_url=self._binding.endpoint,
            verify=True,
            config=config,
            aws_access_key_id=secrets.get("access_key"),
            aws_secret_access_key=secrets.get("secret_key"),
            aws_session_token=secrets.get("session_token"),
        )
        hold(client, connect_timeout=self._connect, read_timeout=self._read, target=self.target)
        events = client.meta.events
        events.register("before-send.ec2", self._before_send)
        events.register_last("before-call.ec2", _before_call)
        events.register_first("before-parse.ec2", self._before_parse)
        return client

    def _before_send(self, request: Any, **_: object) -> None:  # noqa: ANN401 - the SDK's request
        check_host(request.url, hosts=self._binding.hosts, target=self.target)

    def _before_parse(self, operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:  # noqa: ANN401 - the SDK's
        """Raise Unavailable for what is no answer of this call: the SDK makes an empty list of any XML."""
        status = response_dict["status_code"]
        if status in REDIRECTS:
            raise StoreError(f"the provider answered {status}; redirects are not followed", target=self.target)
        if status >= 300:  # noqa: PLR2004 - HTTP's own; the SDK looks at those
            return
        body = response_dict["body"]
        root = ROOT.match(body)
        if root is None or root[1].decode() != f"{operation_model.name}Response":
            raise broken("something that is no answer of it", target=self.target)
        if operation_model.output_shape is None and REFUSED.search(body) is not None:
            raise broken("that it did not do it", target=self.target)


def _before_call(params: dict[str, Any], **_: object) -> None:
    if "UserData" in params["body"]:
        params["body"]["UserData"] = _Unshown(params["body"]["UserData"])
