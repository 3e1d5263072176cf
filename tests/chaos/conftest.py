"""The same small world as in the flows."""

from tests.flows.conftest import box, make_services, world

__all__ = ["box", "make_services", "world"]
