"""The two providers as small classes: their operations in, dataclasses and the errors of `errors.py` out."""
