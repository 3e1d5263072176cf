"""Chargebee and m3ter on one local port, good enough that their own SDKs cannot tell."""

from connector.sandbox.gate import Call
from connector.sandbox.sandbox import Sandbox
from connector.sandbox.server import Server, serve
from connector.sandbox.webhooks import Delivery

__all__ = ["Call", "Delivery", "Sandbox", "Server", "serve"]
