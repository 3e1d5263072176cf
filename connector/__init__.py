"""Chargebee ⇄ m3ter connector."""

__version__ = "0.1.0"
