"""The JSON API: what scripts see and do. An operation is a line in `operations.py`, a function and its shapes beside it."""
