"""Cells of a CSV that a spreadsheet program opens."""

FORMULA = ("=", "+", "-", "@", "'", "\t", "\r")


def harmless(text: str) -> str:
    """The text as a cell that no spreadsheet program takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
