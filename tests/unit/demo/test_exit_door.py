"""The exit door works with `cryptography` alone, and says so when it does not."""

import functools
import http.server
import json
import threading

import pytest
from cryptography.cobblestone import Cobblestone256Encryptor

from sovbroker.demo.checks import Wrong
from sovbroker.demo.exit_door import SCRIPT, check_alone, open_alone


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder, and the URL under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


KEY, CONTEXT = bytes(range(32)), b"a context"
TICKET = json.dumps({"dek": KEY.hex(), "context": CONTEXT.hex()})


def sealed(plaintext):
    encryptor = Cobblestone256Encryptor(KEY, CONTEXT)
    return encryptor.update(plaintext) + encryptor.finalize()


def test_the_script_opens_an_envelope(served, tmp_path):
    folder, url = served
    (folder / "object").write_bytes(sealed(b"bonjour" * 10_000))
    assert open_alone(tmp_path, ticket=TICKET, url=f"{url}/object") == b"bonjour" * 10_000


@pytest.mark.parametrize("harm", ["flip", "truncate", "absent", "context"])
def test_the_script_fails_on_anything_else(served, tmp_path, harm):
    folder, url = served
    body = bytearray(sealed(b"bonjour"))
    if harm == "flip":
        body[-1] ^= 1
    if harm == "truncate":
        del body[-1:]
    if harm != "absent":
        (folder / "object").write_bytes(body)
    ticket = TICKET.replace(CONTEXT.hex(), b"another".hex()) if harm == "context" else TICKET
    with pytest.raises(Wrong, match="could not open"):
        open_alone(tmp_path, ticket=ticket, url=f"{url}/object")


def test_the_child_stands_alone(tmp_path):
    check_alone(tmp_path)
    assert sorted(path.name.partition(".")[0] for path in (tmp_path / "only").iterdir()) == [
        "_cffi_backend",
        "cryptography",
    ]


def test_a_child_that_can_import_more_is_found_out(tmp_path):
    check_alone(tmp_path)
    (tmp_path / "only" / "sovbroker.py").touch()
    with pytest.raises(Wrong, match="can import `sovbroker`"):
        check_alone(tmp_path)


def test_a_child_without_cryptography_is_found_out(tmp_path):
    check_alone(tmp_path)
    link = tmp_path / "only" / "cryptography"
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Wrong, match="cannot import `cryptography`"):
        check_alone(tmp_path)


def test_the_script_is_short_and_names_nothing_of_ours():
    code = [line for line in SCRIPT.splitlines() if line.strip()]
    assert len(code) <= 10
    assert "import sovbroker" not in SCRIPT
