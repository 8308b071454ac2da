"""What adapters offer a probe beside the port: calls that write beside a body, and digests that are wrong."""

from __future__ import annotations

from collections.abc import Iterator

from sovbroker.errors import InvalidArgument, NotSupported, StoreError
from sovbroker.ports import Inspection, Probing, Support
from sovbroker.probing.results import Aspect, Line
from sovbroker.probing.run import Run, short

__all__ = ["digests", "sub_resources", "versions"]

SIZE = 400


def sub_resources(run: Run) -> Iterator[Line]:
    """Yield a line for each call that writes beside an object: the body is read again after each."""
    if not isinstance(run.store, Probing):
        return
    calls = run.store.sub_resources()
    for number, (name, call) in enumerate(calls.items()):
        data = run.put(f"extra-{number}", SIZE, seed=number)
        try:
            call(run.key(f"extra-{number}"))
        except (InvalidArgument, StoreError) as error:
            support, reason = Support.ABSENT, f"refused: {short(error)}"
        else:
            support, reason = Support.NATIVE, "leaves the body as it is"
        if run.read(f"extra-{number}") != data:
            support, reason = Support.UNSAFE, "replaces the body of the object"
        yield Line(name, support, reason)


def digests(run: Run) -> Iterator[Line]:
    """Yield a line for each way to announce a digest: whether the service looks at it."""
    if not isinstance(run.store, Probing):
        return
    for name, call in run.store.wrong_digests().items():
        run.remove("whole")
        try:
            data = run.put("span", SIZE, seed=7)
            call(run.key("whole"), data)
        except NotSupported as error:
            yield Line(name, Support.ABSENT, f"not known to the service: {short(error)}")
        except (InvalidArgument, StoreError) as error:
            yield Line(name, Support.NATIVE, f"a wrong one is refused: {short(error)}")
        else:
            yield Line(name, Support.ABSENT, "a wrong one is taken; sovbroker compares by itself what was stored")


def versions(found: Inspection) -> Line:
    """Return the line that tells whether what is removed stays as an older version."""
    match found.versioned:
        case None:
            return Line(Aspect.VERSIONS, None, "the service does not tell, or these credentials may not ask")
        case True:
            return Line(Aspect.VERSIONS, Support.NATIVE, "what is removed or replaced stays as an older version")
        case False:
            return Line(Aspect.VERSIONS, Support.ABSENT, "what is removed or replaced is gone")
