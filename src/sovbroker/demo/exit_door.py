"""The exit door: a sealed object opened by a process that has nothing but Python and `cryptography`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

from sovbroker.demo.checks import Wrong

__all__ = ["SCRIPT", "check_alone", "open_alone"]

SCRIPT: Final = """\
import json, sys
from urllib.request import urlopen
sys.path.append(sys.argv[1])  # a folder that holds `cryptography`, and nothing of sovbroker
from cryptography.cobblestone import Cobblestone256Decryptor as Opener

ticket = json.load(sys.stdin)
opener = Opener(bytes.fromhex(ticket["dek"]), bytes.fromhex(ticket["context"]))
with urlopen(sys.argv[2]) as body:  # the bare bytes, as the provider holds them
    sys.stdout.buffer.write(opener.update(body.read()) + opener.finalize())
"""
"""What the child runs. The ticket comes in on standard input, the plaintext goes out on standard output."""

NEEDED: Final = ("cryptography", "_cffi_backend")
TIMEOUT: Final = 60


def open_alone(folder: Path, *, ticket: str, url: str) -> bytes:
    """Return what the script makes of the sealed bytes at `url` with `ticket`. Raises Wrong when it fails."""
    done = _python(folder, SCRIPT, url, stdin=ticket)
    if done.returncode:
        raise Wrong(f"the child could not open the object: {_last_line(done)}")
    return done.stdout


def check_alone(folder: Path, *, absent: tuple[str, ...] = ("sovbroker", "boto3", "yaml")) -> None:
    """Check that a child like the one of `open_alone` finds `cryptography`, and none of `absent`."""
    for name in (*NEEDED, *absent):
        done = _python(folder, f"import sys; sys.path.append(sys.argv[1]); import {name}")
        missing = f"No module named '{name}'" in _last_line(done)
        if name in absent and not missing:
            raise Wrong(f"the child can import `{name}`, so it does not stand alone")
        if name in NEEDED and done.returncode:
            raise Wrong(f"the child cannot import `{name}`: {_last_line(done)}")


def _python(folder: Path, script: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run `script` without site-packages, without the current folder and without environment."""
    return subprocess.run(  # noqa: S603  # our own interpreter and our own script
        [sys.executable, "-I", "-S", "-c", script, str(_only(folder)), *arguments],
        input=stdin.encode(),
        capture_output=True,
        env={},
        check=False,
        timeout=TIMEOUT,
    )


def _only(folder: Path) -> Path:
    """Make, once, a folder with links to the packages that the script needs, and nothing else."""
    only = folder / "only"
    only.mkdir(exist_ok=True)
    for name in NEEDED:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise Wrong(f"`{name}` is not installed here")
        place = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
        link = only / place.name
        if not link.is_symlink():
            link.symlink_to(place)
    return only


def _last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
