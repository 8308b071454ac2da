"""The script of a machine that gets its secrets first: with a token that is good once, and with nothing else.

It asks for them, looks that they are meant for this launch, and puts each into a file of its own that only root reads,
in memory: `/run/sovbroker/NAME`. Where the token was used before, somebody else has the secrets, so the machine does
not go on. Needs Python 3 in the image, as the images of all providers have it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from textwrap import dedent
from typing import Final

from sovbroker.machines import SecretBox, SecretTicket

__all__ = ["FOLDER", "depositing", "with_ticket"]

FOLDER: Final = "/run/sovbroker"
"""Where a machine finds its secrets, a file each."""

SCRIPT: Final = dedent(
    """\
    #!/bin/sh
    set -eu
    python3 - <<'SOVBROKER'
    import json, os, sys, urllib.request
    asked = urllib.request.Request("{url}", method="POST", headers={{"X-Vault-Token": "{token}"}})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            held = json.load(answer)["data"]
    except Exception as error:
        sys.exit(f"the secrets of this machine are not to be had: {{error}}; were they fetched by somebody else?")
    if held["machine"] != "{machine}":
        sys.exit("these secrets are meant for another machine")
    os.umask(0o077)
    os.makedirs("{folder}", exist_ok=True)
    for name, value in held["secrets"].items():
        with open(os.path.join("{folder}", name), "w") as file:
            file.write(value)
    SOVBROKER
    script=$(mktemp)
    base64 -d >"$script" <<'SOVBROKER'
    {script}
    SOVBROKER
    chmod 700 "$script"
    exec "$script"
    """
)


def with_ticket(ticket: SecretTicket, machine: str, script: bytes) -> bytes:
    """Return a script that fetches the secrets of a launch and then becomes `script`; without one, it only fetches."""
    own = script or b"#!/bin/sh\n"
    if not own.startswith(b"#!"):
        own = b"#!/bin/sh\n" + own
    coded = base64.encodebytes(own).decode("ascii").strip()
    return SCRIPT.format(url=ticket.url, token=ticket.token, machine=machine, folder=FOLDER, script=coded).encode()


def depositing(box: SecretBox) -> Callable[[str, Mapping[str, str], bytes], bytes]:
    """Return what keeps secrets for a machine in a box, and gives its script the way to them."""

    def deposit(machine: str, secrets: Mapping[str, str], script: bytes) -> bytes:
        return with_ticket(box.deposit(machine, secrets), machine, script)

    return deposit
