"""Where the shipped price lists come from: run `python -m prices`."""
