"""Taking over a changed policy while a broker is open.

A policy governs only after it has loaded, its proofs hold and its cases pass. Whatever fails, the old one goes on, and
the outcome says why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sovbroker.errors import Diagnostic, PolicyError, SovbrokerError
from sovbroker.policy import Policy

__all__ = ["Reload", "Reloader"]

log = logging.getLogger("sovbroker")


@dataclass(frozen=True, slots=True)
class Reload:
    """The outcome of one look at the policy's files.

    `taken` tells that another policy governs now; `policy` is the digest of the one that does. `why` says why a changed
    one was not taken, "" when it was, or when nothing had changed; `diagnostics` are then what is wrong with it.
    """

    taken: bool
    policy: str
    why: str = ""
    diagnostics: tuple[Diagnostic, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        """Say it in a line, with the findings below."""
        if self.taken:
            return f"the changed policy governs now ({self.policy[:12]})"
        if not self.why:
            return f"the policy has not changed ({self.policy[:12]})"
        found = "".join(f"\n{finding}" for finding in self.diagnostics)
        return f"the changed policy is not taken: {self.why}; the old one governs on ({self.policy[:12]}){found}"


class Reloader:
    """Loads the policy anew from its file, and tells whether it may govern.

    `load` returns the policy of the configuration; `file` is where it stands; with `every`, in seconds, `look` looks at
    the files that often.
    """

    def __init__(self, load: Callable[[], Policy], file: Path, *, current: Policy, every: float | None = None) -> None:
        self._load = load
        self._file = file
        self._every = every
        self._next = 0.0 if every is None else time.monotonic() + every
        self._seen = self._stamps(_files_of(current))

    def attempt(self, current: Policy) -> tuple[Policy, Reload]:
        """Return the policy that is to govern, and the outcome. Raises nothing that a file can cause.

        Not for several threads at once: the caller lets one go after the other.
        """
        # Before anything is read, so that what changes while it is read is seen the next time.
        self._seen = self._stamps(_files_of(current))
        try:
            return self._attempt(current)
        except PolicyError as error:
            # The mend may be in a file that only the changed policy extends.
            self._watch({Path(finding.file) for finding in error.diagnostics})
            return current, Reload(
                taken=False, policy=current.digest, why="it does not load", diagnostics=tuple(error.diagnostics)
            )
        except SovbrokerError as error:
            return current, Reload(taken=False, policy=current.digest, why=str(error))

    def due(self) -> bool:
        """Whether it is time to look, and there is something new to see."""
        now = time.monotonic()
        if self._every is None or now < self._next:
            return False
        self._next = now + self._every
        return any(_stamp(path) != stamp for path, stamp in self._seen.items())

    def _attempt(self, current: Policy) -> tuple[Policy, Reload]:
        from sovbroker.policy import prove, trial  # noqa: PLC0415  # a broker that reloads nothing does without

        new = self._load()
        self._watch(_files_of(new))
        if new.digest == current.digest:
            return current, Reload(taken=False, policy=current.digest)
        proof = prove.prove(new, at=new.now().date())
        errors = tuple(finding for finding in proof.diagnostics if finding.severity == "error")
        if errors:
            return current, Reload(taken=False, policy=current.digest, why="its proofs do not hold", diagnostics=errors)
        tried = trial.try_policy(self._file, mutate=False)
        if not tried.passed:
            failed = tuple(finding for finding in tried.diagnostics if finding.severity == "error")
            return current, Reload(taken=False, policy=current.digest, why="its cases do not pass", diagnostics=failed)
        if self._load().digest != new.digest:
            return current, Reload(taken=False, policy=current.digest, why="it changed while it was being judged")
        return new, Reload(taken=True, policy=new.digest)

    def _stamps(self, files: Iterable[Path]) -> dict[Path, tuple[int, ...]]:
        cases = self._file.with_name(f"{self._file.stem}.tests.yaml")
        return {path: _stamp(path) for path in {self._file, cases, *files}}

    def _watch(self, files: Iterable[Path]) -> None:
        """Look at more files from now on."""
        self._seen = {**self._stamps(files), **self._seen}


def _files_of(policy: Policy) -> set[Path]:
    return {Path(part.node.place.source.file) for part in policy.parts}


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does; () where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)
