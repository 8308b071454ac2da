"""Bytes on their way: out to the destinations of a decision, back from the copies of a row, and away."""
