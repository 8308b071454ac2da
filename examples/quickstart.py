"""The first ten lines: a home for objects in a folder, one object put, found, explained and read back.

Prints:
    notes/hello.txt 7 bytes at local (sealed)
    label restricted, by default
    b'bonjour'
"""

import os
import secrets
import tempfile
from pathlib import Path

import sovbroker

with tempfile.TemporaryDirectory() as folder:
    # In real life the passphrase is in the environment already, and the recovery code goes into a safe.
    passphrase = os.environ.setdefault("SOVBROKER_PASSPHRASE", secrets.token_urlsafe())
    sovbroker.init(Path(folder), passphrase=passphrase)

    with sovbroker.open(Path(folder) / "sovbroker.yaml") as broker:
        stored = broker.put("notes/hello.txt", b"bonjour", metadata={"language": "fr"})
        print(stored.key, stored.size, "bytes at", *stored.copies)
        print(f"label {stored.label}, by", *stored.decision.rules)
        print(broker.read("notes/hello.txt"))
