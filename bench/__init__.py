"""Measurements, never gates: `make bench` prints them as one table."""
