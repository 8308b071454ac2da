"""The parts of `sovbroker.testing.fakes`: one faked cloud, what its provider would take, and what lies there."""
