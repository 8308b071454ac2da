"""Labels only rise, and a write can demand the version that it read.

Prints:
    public, at local (clear)
    confidential, at local (sealed)
    refused: `minutes.txt` is labelled `confidential`, and `public` would lower it; …
    if_version: `minutes.txt` is not at version …
    moved: archive/2026/minutes.txt, still confidential
"""

import os
import secrets
import tempfile
from pathlib import Path

import sovbroker
from sovbroker.errors import Conflict, InvalidArgument

POLICY = """
sovbroker: 1
name: labels-and-versions
levels: [public, confidential]
default: public
zones:
  here: {target: [local]}
require:
  public: {store: {here: {}}}
  confidential: {store: {here: {encrypt: client}}}
"""

with tempfile.TemporaryDirectory() as folder:
    home = Path(folder)
    passphrase = os.environ.setdefault("SOVBROKER_PASSPHRASE", secrets.token_urlsafe())
    sovbroker.init(home, passphrase=passphrase)
    (home / "policy.yaml").write_text(POLICY)
    with sovbroker.open(home / "sovbroker.yaml") as broker:
        first = broker.put("minutes.txt", b"draft")
        print(f"{first.label}, at", *first.copies)
        second = broker.relabel("minutes.txt", "confidential")
        print(f"{second.label}, at", *second.copies)
        try:
            broker.relabel("minutes.txt", "public")
        except InvalidArgument as error:
            print("refused:", error)
        try:
            broker.put("minutes.txt", b"final", if_version=first.version)
        except Conflict as error:
            print("if_version:", error)
        moved = broker.move("minutes.txt", "archive/2026/minutes.txt")
        print(f"moved: {moved.key}, still {moved.label}")
