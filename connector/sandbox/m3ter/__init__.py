"""m3ter as a server: one organization."""

from connector.sandbox.m3ter.approvals import Approvals as M3ter
from connector.sandbox.m3ter.errors import Refused
from connector.sandbox.m3ter.organization import API_KEY, API_SECRET, ORG_ID, Settings

__all__ = ["API_KEY", "API_SECRET", "ORG_ID", "M3ter", "Refused", "Settings"]
