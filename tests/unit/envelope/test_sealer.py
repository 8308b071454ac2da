import copy
import os
import pickle
import threading
from dataclasses import replace

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from hypothesis import given, settings
from hypothesis import strategies as st

from sovbroker.envelope import CHUNK, HEAD, TAG, Context, Opener, Sealer, new_dek, sealed_size
from sovbroker.errors import InvalidArgument, SealError, Tampered

UNIT = CHUNK + TAG
SIZES = [0, 1, 16, 16383, 16384, 16385, 32767, 32768, 32769, 5 * CHUNK, 1 << 20, (1 << 20) + 1, 3 * (1 << 20) + 5]


def native_open(dek, context, body):
    d = Cobblestone256Decryptor(dek, context.encode())
    return d.update(bytes(body)) + d.finalize()


def seal_in_parts(sealer, data, order, part):
    """Seal parts of `part` bytes in the given order (repeated as needed) and put them where they belong."""
    count = len(data) // part + 1
    pieces = {}
    for number in sorted(range(count), key=lambda n: order[n % len(order)]):
        plain = data[number * part : (number + 1) * part]
        final = number == count - 1
        out = bytearray(sealed_size(len(plain)))
        size = sealer.seal_into(plain, out, first_chunk=number * part // CHUNK, final=final)
        pieces[number] = bytes(out[:size])
    return sealer.head + b"".join(pieces[n] for n in range(count))


@pytest.mark.parametrize("size", SIZES)
def test_whole_objects_open_in_the_native_class(size, dek, context, plain):
    body = Sealer(dek, context).seal(plain(size))
    assert isinstance(body, bytearray)
    assert len(body) == sealed_size(size)
    assert native_open(dek, context, body) == plain(size)


@pytest.mark.parametrize("size", SIZES)
def test_what_the_native_class_sealed_opens(size, dek, context, plain):
    e = Cobblestone256Encryptor(dek, context.encode())
    body = e.update(plain(size)) + e.finalize()
    opener = Opener(dek, context, body[:HEAD])
    assert opener.open(body) == plain(size)
    assert opener.open(body) == plain(size)


@given(
    size=st.one_of(st.sampled_from(SIZES), st.integers(0, 6 * CHUNK)),
    part=st.sampled_from([CHUNK, 2 * CHUNK, 5 * CHUNK]),
    order=st.lists(st.integers(0, 9), min_size=1, max_size=9),
)
@settings(max_examples=80, deadline=None)
def test_parts_in_any_order_open_in_the_native_class(size, part, order, *, dek, context, plain):
    data = plain(size)
    assert native_open(dek, context, seal_in_parts(Sealer(dek, context), data, order, part)) == data


def test_parts_by_threads_open_in_the_native_class(dek, context, plain):
    data, part = plain(40 * CHUNK + 3), 2 * CHUNK
    sealer = Sealer(dek, context)
    pieces = {}

    def work(turn):
        for number in range(turn, 21, 4):
            chunk = data[number * part : (number + 1) * part]
            out = bytearray(sealed_size(part))
            size = sealer.seal_into(chunk, out, first_chunk=2 * number, final=number == 20)
            pieces[number] = bytes(out[:size])

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert native_open(dek, context, sealer.head + b"".join(pieces[n] for n in range(21))) == data


class Watched:
    """A stand-in for both halves of the cipher that records what each chunk number was used for."""

    def __init__(self, monkeypatch):
        self.used = {}
        watched = self

        class Native:
            def __init__(self, key, context):
                self.at, self.rest = 0, b""

            def update(self, data):
                return bytes(HEAD)

            def update_into(self, data, out):
                self.rest = bytes(data)
                while len(self.rest) >= CHUNK:
                    watched.use(self.at, self.rest[:CHUNK])
                    self.at, self.rest = self.at + 1, self.rest[CHUNK:]
                return len(data) // CHUNK * UNIT

            def finalize(self):
                watched.use(self.at, self.rest)
                return self.rest + bytes(TAG)

        class Chunks:
            def seal(self, data, out, *, first, final):
                data = bytes(data)
                for index in range(len(data) // CHUNK):
                    watched.use(first + index, data[index * CHUNK : (index + 1) * CHUNK])
                if final:
                    watched.use(first + len(data) // CHUNK, data[len(data) // CHUNK * CHUNK :])

        monkeypatch.setattr("sovbroker.envelope.sealer.Cobblestone256Encryptor", Native)
        monkeypatch.setattr("sovbroker.envelope.sealer.derive", lambda *a, **k: (Chunks(), b""))

    def use(self, number, plain):
        assert number not in self.used, "a nonce was used twice"
        self.used[number] = plain


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_number_is_ever_used_twice(data):
    """Any order, retries of the same and of overlapping parts, with a source that changes in between."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        watched = Watched(monkeypatch)
        sealer = Sealer(bytes(32), b"c")
        expected, end = set(), None
        for attempt in range(data.draw(st.integers(1, 12))):
            first = data.draw(st.integers(0, 8))
            count = data.draw(st.integers(0, 4))
            final = data.draw(st.integers(0, 5)) == 0
            plain = bytes([attempt]) * (count * CHUNK + (7 if final else 0))
            numbers = set(range(first, first + count + final))
            stop = first + count + final
            fine = (
                not numbers & expected
                and not (end is not None and (final or stop > end))
                and not (final and expected and max(expected) >= stop)
            )
            if fine:
                sealer.seal_into(plain, bytearray(sealed_size(len(plain))), first_chunk=first, final=final)
                expected |= numbers
                end = stop if final else end
            else:
                with pytest.raises(SealError):
                    sealer.seal_into(plain, bytearray(sealed_size(len(plain))), first_chunk=first, final=final)
            assert set(watched.used) == expected


def test_a_part_cannot_be_sealed_again(dek, context, plain):
    sealer = Sealer(dek, context)
    out = bytearray(4 * UNIT)
    sealer.seal_into(plain(CHUNK), out, first_chunk=3, final=False)
    sealer.seal_into(plain(CHUNK), out, first_chunk=0, final=False)
    before = bytes(out)
    for first, count in ((0, 1), (3, 1), (0, 2), (2, 2), (1, 3), (3, 2)):
        with pytest.raises(SealError, match="send the same ciphertext"):
            sealer.seal_into(plain(count * CHUNK), out, first_chunk=first, final=False)
    assert bytes(out) == before


def test_many_parts_leave_one_run_to_remember(dek, context, plain):
    sealer = Sealer(dek, context)
    out = bytearray(UNIT)
    for chunk in (5, 3, 1, 0, 2, 4, 6, 7):
        sealer.seal_into(plain(CHUNK), out, first_chunk=chunk, final=False)
    assert sealer._taken == [0, 8]


def test_nothing_follows_the_end(dek, context, plain):
    sealer = Sealer(dek, context)
    out = bytearray(4 * UNIT)
    sealer.seal_into(plain(3), out, first_chunk=2, final=True)
    for first, final in ((3, False), (2, False), (4, True), (0, True)):
        with pytest.raises(SealError):
            sealer.seal_into(plain(CHUNK), out, first_chunk=first, final=final)
    sealer.seal_into(plain(2 * CHUNK), out, first_chunk=0, final=False)


def test_the_end_cannot_lie_before_what_was_sealed(dek, context, plain):
    sealer = Sealer(dek, context)
    out = bytearray(4 * UNIT)
    sealer.seal_into(plain(CHUNK), out, first_chunk=5, final=False)
    with pytest.raises(SealError, match="later one"):
        sealer.seal_into(plain(3), out, first_chunk=2, final=True)
    with pytest.raises(SealError):
        Sealer.seal(sealer, plain(3))


def test_a_whole_object_is_sealed_once(dek, context, plain):
    sealer = Sealer(dek, context)
    sealer.seal(plain(3))
    with pytest.raises(SealError):
        sealer.seal(plain(3))


def test_a_failure_counts_as_sealed(dek, context, plain, monkeypatch):
    sealer = Sealer(dek, context)

    class Failing:
        def update_into(self, data, out):
            raise MemoryError

    sealer._native = Failing()
    out = bytearray(UNIT)
    with pytest.raises(MemoryError):
        sealer.seal_into(plain(CHUNK), out, first_chunk=0, final=False)
    with pytest.raises(SealError):
        sealer.seal_into(plain(CHUNK), out, first_chunk=0, final=False)


def test_sizes_that_cannot_be_change_nothing(dek, context, plain):
    sealer = Sealer(dek, context)
    out = bytearray(UNIT)
    with pytest.raises(InvalidArgument, match="multiple of 16384"):
        sealer.seal_into(plain(CHUNK + 1), out, first_chunk=0, final=False)
    with pytest.raises(InvalidArgument, match="need 16400"):
        sealer.seal_into(plain(CHUNK), out[:-1], first_chunk=0, final=False)
    for first in (-1, 1 << 38):
        with pytest.raises(InvalidArgument):
            sealer.seal_into(plain(CHUNK), out, first_chunk=first, final=False)
    assert sealer.seal_into(b"", out, first_chunk=0, final=False) == 0
    assert sealer.seal_into(plain(CHUNK), out, first_chunk=0, final=False) == UNIT


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_has_32_bytes(size, context):
    with pytest.raises(InvalidArgument, match="32 bytes"):
        Sealer(bytes(size), context)


def test_every_sealer_has_its_own_salt(dek, context):
    assert len({Sealer(dek, context).head for _ in range(100)}) == 100


def test_a_sealer_stays_in_its_process(dek, context, monkeypatch):
    sealer = Sealer(dek, context)
    for travel in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            travel(sealer)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(SealError, match="forked"):
        sealer.seal(b"x")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_after_a_fork_no_salt_and_no_key_repeats():
    def child(write):
        os.write(write, b"".join(Sealer(bytes(32), b"c").head + new_dek().reveal() for _ in range(20)))

    Sealer(bytes(32), b"c")
    seen = []
    for _ in range(2):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                child(write)
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            data = pipe.read()
        os.waitpid(pid, 0)
        seen += [data[at : at + 88] for at in range(0, len(data), 88)]
    seen += [Sealer(bytes(32), b"c").head + new_dek().reveal() for _ in range(20)]
    assert len(seen) == 60
    assert len({s[:24] for s in seen}) == 60
    assert len({s[56:] for s in seen}) == 60


@pytest.mark.parametrize("field", ["domain", "key", "version", "label"])
def test_another_context_is_refused_before_a_byte(field, dek, context, plain):
    body = Sealer(dek, context).seal(plain(100))
    for other in (replace(context, **{field: "x"}), replace(context, **{field: getattr(context, field) + " "})):
        with pytest.raises(Tampered):
            Opener(dek, other, body[:HEAD])


def test_text_moved_between_fields_is_another_context(dek):
    body = Sealer(dek, Context("ab", "c", "d", "e")).seal(b"x")
    with pytest.raises(Tampered):
        Opener(dek, Context("a", "bc", "d", "e"), body[:HEAD])
