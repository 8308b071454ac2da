"""One key and one context that most tests seal under."""

import random

import pytest

from sovbroker.envelope import Context


@pytest.fixture(scope="session")
def dek():
    return bytes(range(32))


@pytest.fixture(scope="session")
def context():
    return Context("health", "patients/42.json", "0h3k5v7q9r1t3w5y7z9b1d3f", "restricted+health")


@pytest.fixture(scope="session")
def plain():
    """Return a function: so many bytes, no two of its 16-byte blocks alike."""
    pool = random.Random(0).randbytes(1 << 23)

    def make(size):
        return pool[:size]

    return make
