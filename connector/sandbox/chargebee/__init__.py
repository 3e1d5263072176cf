"""Chargebee as a server: one test site with Product Catalog 2.0."""

from connector.sandbox.chargebee.errors import Refused
from connector.sandbox.chargebee.site import API_KEY, SITE, Settings
from connector.sandbox.chargebee.time_machine import TimeMachine as Chargebee

__all__ = ["API_KEY", "SITE", "Chargebee", "Refused", "Settings"]
