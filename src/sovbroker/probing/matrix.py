"""The whole probe of one target: every claim is tried, and judged by what the service really does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sovbroker.errors import ConfigError, SovbrokerError, Unavailable
from sovbroker.ports import Feature, Store, Support
from sovbroker.probing.bodies import (
    check_bodies,
    check_conditions,
    check_copies,
    check_keys,
    check_metadata,
    check_nested,
    check_ranges,
    check_set_metadata,
)
from sovbroker.probing.extras import digests, sub_resources, versions
from sovbroker.probing.holding import Links, check_retention
from sovbroker.probing.listings import PAGE, check_delimiter, check_listing, check_order, check_pages, fill
from sovbroker.probing.results import Aspect, Line
from sovbroker.probing.run import HOLD, AbsentError, Run, UnsafeError, clear_leftovers, short
from sovbroker.probing.uploads import check_uploads

__all__ = ["Found", "Opening", "find_out"]

Opening = Callable[[Mapping[str, str | int | bool]], Store]
"""Opens the target anew, confined to specimens, with settings beside its own. Raises ConfigError for unknown ones."""

Check = Callable[[Run], str]
"""A check: returns in words what works; raises AbsentError, UnsafeError, or what the store raises."""

NONE: Final[Mapping[str, str | int | bool]] = {}
NONSENSE: Final[Mapping[str, str | int | bool]] = {"no-setting-of-any-adapter": True}
SKEW_MOST: Final = timedelta(minutes=2)
SKEWED: Final = "the clocks differ by more than two minutes"


@dataclass(frozen=True, slots=True)
class Found:
    """The lines of a matrix, and the keys that could not be removed."""

    lines: tuple[Line, ...]
    left: tuple[str, ...]


def find_out(open_with: Opening, *, installation: str, hold: timedelta = HOLD) -> Found:
    """Find out what a target is like. Nothing stays that this or an earlier probe of the installation wrote.

    One at a time for each installation. Raises ConfigError where it cannot be opened, and StoreError where not even a
    body comes back: then nothing is known of the rest.
    """
    with ExitStack() as stack:
        matrix = Matrix(open_with, stack, installation=installation, hold=hold)
        left = clear_leftovers(matrix.run.sorting, installation=installation, now=datetime.now(UTC))
        try:
            lines = tuple(matrix.lines())
        finally:
            mine = matrix.run.clear()
        return Found(lines, tuple(sorted({*left, *mine})))


class Matrix:
    """One probe of one target."""

    def __init__(self, open_with: Opening, stack: ExitStack, *, installation: str, hold: timedelta) -> None:
        self._open_with = open_with
        self._stack = stack
        plain = self._open(NONE)
        self._declared = plain.capabilities
        claims = _claims(open_with, plain.capabilities)
        # Where an adapter retains, it removes in another way, too; so that claim is tried apart from all others.
        self._claims = {name: value for name, value in claims.items() if name != Feature.RETENTION}
        self._inspection = plain.inspect()
        skew = self._inspection.skew or timedelta(0)
        store = self._open(self._claims)
        self._sorts = {**self._claims, Feature.ORDERED_LIST: Support.EMULATED}
        # What sorts by itself lists in whatever order a service gives.
        sorting = self._open(self._sorts) if _takes(open_with, self._sorts) else store
        holding = store if claims == self._claims else self._open(claims)
        self.run = Run(store, sorting, holding, installation, skew=skew, hold=hold)

    def lines(self) -> Iterator[Line]:
        """Yield every line of the matrix."""
        run = self.run
        try:
            # What the store raises here ends the probe: nothing would be known of the rest.
            yield Line(Aspect.BODIES, Support.NATIVE, check_bodies(run))
        except UnsafeError as error:
            yield Line(Aspect.BODIES, Support.UNSAFE, str(error))
            return
        links = self._begin_links()
        yield self._feature(Feature.METADATA, check_metadata)
        yield self._feature(Feature.SET_METADATA, check_set_metadata)
        yield self._feature(Feature.CONDITIONAL_PUT, check_conditions)
        yield self._feature(Feature.RANGE, check_ranges)
        yield self._feature(Feature.COPY, check_copies)
        yield self._feature(Feature.MULTIPART, check_uploads)
        fill(run)
        yield self._order()
        yield self._aspect(Aspect.LISTING, check_listing)
        yield self._feature(Feature.DELIMITER, check_delimiter)
        yield self._pages()
        yield self._feature(Feature.RETENTION, check_retention, clocked=True)
        yield self._feature(Feature.PRESIGN, links, clocked=True)
        yield self._aspect(Aspect.KEYS, check_keys)
        yield self._aspect(Aspect.NESTED, check_nested)
        yield versions(self._inspection)
        yield from sub_resources(run)
        yield from digests(run)

    def _feature(self, feature: Feature, check: Check, *, clocked: bool = False) -> Line:
        store = self.run.holding if feature is Feature.RETENTION else self.run.store
        declared, claimed = self._declared[feature], store.capabilities[feature]
        if not claimed.usable:
            return Line(feature, declared, "the adapter does not offer it", declared)
        if clocked and abs(self.run.skew) > SKEW_MOST:
            return Line(feature, None, SKEWED, declared)
        support, reason = judge(check, self.run, works=claimed)
        return Line(feature, support, reason, declared)

    def _aspect(self, aspect: Aspect, check: Check) -> Line:
        return Line(aspect, *judge(check, self.run, works=Support.NATIVE))

    def _begin_links(self) -> Check:
        """Make the link that is to end before it is looked at; what goes wrong is told by the check."""
        if not self.run.store.capabilities[Feature.PRESIGN].usable:
            return _never
        try:
            links = Links(self.run)
        except SovbrokerError as error:
            failed = error

            def fail(_: Run) -> str:
                raise failed

            return fail
        return lambda _: links.check()

    def _order(self) -> Line:
        """Judge the order; where it is not the service's, the adapter's own may do."""
        line = self._feature(Feature.ORDERED_LIST, check_order)
        if line.support in {Support.NATIVE, Support.EMULATED} or self.run.sorting is self.run.store:
            return line
        # From here on it lists as it will have to.
        self.run.store, self._claims = self.run.sorting, self._sorts
        support, reason = judge(check_order, self.run, works=Support.EMULATED)
        found = f"{reason}, once all names are read and sorted" if support is Support.EMULATED else reason
        return Line(line.name, support, found, line.declared)

    def _pages(self) -> Line:
        paged = {**self._claims, "page": PAGE}
        if not _takes(self._open_with, paged):
            return Line(Aspect.PAGES, None, "this adapter cannot ask for smaller pages, so that there is one only")
        store = self._open(paged)
        other = Run(store, store, store, self.run.installation, self.run.id)
        return Line(Aspect.PAGES, *judge(check_pages, other, works=Support.NATIVE))

    def _open(self, settings: Mapping[str, str | int | bool]) -> Store:
        return self._stack.enter_context(closing(self._open_with(settings)))


def judge(check: Check, run: Run, *, works: Support) -> tuple[Support | None, str]:
    """Return what a check finds, and why. What nobody answers, twice, is not known."""
    last: Unavailable | None = None
    for _ in range(2):
        try:
            return works, check(run)
        except UnsafeError as error:
            return Support.UNSAFE, str(error)
        except AbsentError as error:
            return Support.ABSENT, str(error)
        except Unavailable as error:
            last = error
        except SovbrokerError as error:
            return Support.ABSENT, short(error)
    return None, f"could not be found out: {short(last)}"


def _claims(open_with: Opening, declared: Mapping[Feature, Support]) -> dict[str, str | int | bool]:
    """Return the settings that make the adapter claim what it does not declare, as far as it knows such settings."""
    claims: dict[str, str | int | bool] = {
        feature: Support.NATIVE for feature, support in declared.items() if not support.usable
    }
    if _takes(open_with, claims):
        return claims
    return {name: value for name, value in claims.items() if _takes(open_with, {name: value})}


def _takes(open_with: Opening, settings: Mapping[str, str | int | bool]) -> bool:
    """Whether the adapter knows these settings, rather than looking at none. Opening makes no request."""
    return _opens(open_with, settings) and not _opens(open_with, NONSENSE)


def _opens(open_with: Opening, settings: Mapping[str, str | int | bool]) -> bool:
    try:
        open_with(settings).close()
    except ConfigError:
        return False
    return True


def _never(_: Run) -> str:
    raise AbsentError("the adapter does not offer it")
