"""Store adapters, one protocol a file."""
