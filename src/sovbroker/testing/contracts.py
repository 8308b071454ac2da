"""Servers that keep a contract to the letter, in this process: what is unknown, missing or of another type is refused.

A subclass has methods marked with `route`; each takes what stands in the path, and gives a `Said`::

    class Doors(ContractServer):
        @route("POST", "/doors", body={"name": str, "colour?": str})
        def make(self, asked: Asked) -> Said: ...

A body has exactly the names that the route tells, with values of their types; `?` marks what may be missing. So has the
query (`query`). Anything else is answered by `refusal(400, …)`, a path that nobody knows by `refusal(404, …)`.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Asked", "ContractServer", "RefusalError", "Said", "route"]

Body = dict[str, Any]
Shape = Mapping[str, object]
F = TypeVar("F", bound=Callable[..., "Said"])

ROUTE: Final = "contract_route"
PART: Final = re.compile(r"\{([a-z]+)\}")
NO_SHAPE: Final[Shape] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that keeps the contract. `parts` are those of the path, `headers` have names in small letters."""

    method: str
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: Any = None


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; `body` None: none."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class RefusalError(Exception):
    """The service says no, with this answer."""

    def __init__(self, said: Said) -> None:
        super().__init__(str(said.body))
        self.said = said


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, and what goes there."""

    method: str
    path: re.Pattern[str]
    body: Shape | type[bytes] | None
    query: Shape


def route(
    method: str, path: str, *, body: Shape | type[bytes] | None = None, query: Shape = NO_SHAPE
) -> Callable[[F], F]:
    """Mark a method as what answers a path, in which `{name}` stands for one part.

    `body` None: it has none; `bytes`: it is text, and given as it is.
    """
    pattern = re.compile(PART.sub(r"(?P<\1>[^/]+)", path))

    def mark(function: F) -> F:
        setattr(function, ROUTE, Route(method, pattern, body, query))
        return function

    return mark


class ContractServer:
    """A server, from `with` to its end, on a free port of 127.0.0.1. `asked` counts calls by method and path.

    `refuse` holds, by the beginning of `METHOD path`, what is answered instead of the next such call.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.refuse: dict[str, Said] = {}
        self.lock = threading.RLock()
        self._routes = [
            (mark, getattr(self, name))
            for name in dir(type(self))
            if (mark := getattr(getattr(type(self), name), ROUTE, None)) is not None
        ]
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def refusal(self, status: int, why: str) -> Said:
        """Return an error as the service words it."""
        return Said(status, {"error": why})

    def admit(self, asked: Asked, raw: bytes) -> None:
        """Raise RefusalError for a request of somebody who may not ask."""

    def no(self, status: int, why: str) -> RefusalError:
        """Return what to raise for a no."""
        return RefusalError(self.refusal(status, why))

    def handle(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Said:
        """Answer one request."""
        parts = urlsplit(target)
        with self.lock:
            self.asked[f"{method} {parts.path}"] += 1
            try:
                for begin in list(self.refuse):
                    if f"{method} {parts.path}".startswith(begin):
                        return self.refuse.pop(begin)
                return self._routed(method, target, headers, raw)
            except RefusalError as refused:
                return refused.said

    def _routed(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Said:
        parts = urlsplit(target)
        for mark, function in self._routes:
            found = mark.path.fullmatch(parts.path)
            if found is None or mark.method != method:
                continue
            query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            named = {name: unquote(value) for name, value in found.groupdict().items()}
            self.admit(Asked(method, target, named, query, headers), raw)
            if wrong := misshapen(query, mark.query, "the query"):
                raise self.no(400, wrong)
            body = self._body(mark, headers, raw)
            return function(Asked(method, target, named, query, headers, body))  # type: ignore[no-any-return]
        raise self.no(404, f"nothing is at {method} {parts.path}")

    def _body(self, mark: Route, headers: Mapping[str, str], raw: bytes) -> object:
        if mark.body is None:
            if raw:
                raise self.no(400, "a body, where none belongs")
            return None
        wanted = "text/plain" if mark.body is bytes else "application/json"
        if headers.get("content-type") != wanted:
            raise self.no(415, f"the content type `{headers.get('content-type')}`")
        if mark.body is bytes:
            return raw
        try:
            body = json.loads(raw)
        except ValueError as error:
            raise self.no(400, "no JSON") from error
        if wrong := misshapen(body, mark.body, "the body"):
            raise self.no(400, wrong)
        return body


def misshapen(found: object, shape: object, where: str) -> str:
    """Say what is wrong with a value; "" where it is of the shape.

    A shape is a type, a set of values, a mapping of names to shapes, `{"*": shape}` for any names, a list of one shape.
    """
    match shape:
        case Mapping():
            return _misnamed(found, cast("Mapping[str, object]", shape), where)
        case list():
            (inner,) = cast("list[object]", shape)
            if not isinstance(found, list):
                return f"{where} is no list"
            every = enumerate(cast("list[object]", found))
            return next(filter(None, (misshapen(one, inner, f"{where}[{at}]") for at, one in every)), "")
        case set() | frozenset():
            known = cast("AbstractSet[object]", shape)
            return "" if found in known else f"{where} is `{found}`, none of {sorted(map(str, known))}"
        case None:
            return "" if found is None else f"{where} is not null"
        case type():
            right = isinstance(found, shape) and (shape is bool or not isinstance(found, bool))
            return "" if right else f"{where} is no {shape.__name__}"
        case _:
            raise TypeError(f"`{shape}` is no shape")


def _misnamed(found: object, shape: Mapping[str, object], where: str) -> str:
    if not isinstance(found, dict):
        return f"{where} is no object"
    named = cast("dict[str, object]", found)
    if "*" in shape:
        wrongs = (misshapen(value, shape["*"], f"{where}.{name}") for name, value in named.items())
        return next(filter(None, wrongs), "")
    known = {name.removesuffix("?"): inner for name, inner in shape.items()}
    missing = [name for name in shape if not name.endswith("?") and name not in named]
    unknown = [name for name in named if name not in known]
    if missing or unknown:
        return f"{where} lacks {missing}, and has {unknown}, which nobody knows"
    wrongs = (misshapen(value, known[name], f"{where}.{name}") for name, value in named.items())
    return next(filter(None, wrongs), "")


def _handler(service: ContractServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            """Answer one request."""
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = service.handle(self.command, self.path, headers, raw)
            body = b"" if said.body is None else json.dumps(said.body).encode()
            self.send_response_only(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if body:
                self.send_header("Content-Type", "application/json")
            if said.status != 204:  # noqa: PLR2004 - HTTP's own: it has no body, and no length
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _any  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler
