"""Leave: open an object with `cryptography` alone, from the file that the target holds.

The ticket holds the object's key, so it must be asked for in so many words. Keep it as you would keep the object.

Prints:
    the ticket tells: Cobblestone-256, one copy at local
    the file holds no plaintext: True
    opened without sovbroker: b'La recette de la maison'
"""

import json
import os
import secrets
import tempfile
from pathlib import Path

from cryptography.cobblestone import Cobblestone256Decryptor

import sovbroker

with tempfile.TemporaryDirectory() as folder:
    passphrase = os.environ.setdefault("SOVBROKER_PASSPHRASE", secrets.token_urlsafe())
    sovbroker.init(Path(folder), passphrase=passphrase)
    with sovbroker.open(Path(folder) / "sovbroker.yaml") as broker:
        broker.put("recette.txt", b"La recette de la maison")
        ticket = json.loads(broker.exit_ticket("recette.txt", reveal_key=True).to_json())

    # From here on nothing of sovbroker is used.
    (place,) = ticket["places"]
    print(f"the ticket tells: {ticket['format']}, one copy at {place['target']}")

    # A local target keeps each object in a folder: an entry that names it, and the file that is its body.
    for path in Path(place["container"]).glob("objects/**/%meta.json"):
        entry = json.loads(path.read_bytes())
        if entry["key"] == place["name"]:
            body = (path.parent / entry["body"]).read_bytes()
            print("the file holds no plaintext:", b"recette" not in body)
            opener = Cobblestone256Decryptor(bytes.fromhex(ticket["dek"]), bytes.fromhex(ticket["context"]))
            # What the policy pads is longer than it was; what is no padding ends where the ticket says.
            plaintext = (opener.update(body) + opener.finalize())[: ticket["size"]]
            print("opened without sovbroker:", plaintext)
