"""Where a person finds the same thing in the two systems' own pages.

Chargebee's pages are at `https://<site>.chargebee.com/d/customers/<id>` and the like, as links in public integrations have
them. Where m3ter's are is said nowhere (UNVERIFIED), so that the setting says it, and without it there are no links.
"""

from urllib.parse import quote

from connector.services import Connected

# Kinds with a page of their own in Chargebee, and their names in its addresses.
CHARGEBEE = {"customer": "customers", "subscription": "subscriptions", "invoice": "invoices"}


def to_chargebee(connected: Connected, kind: str, id: str) -> str | None:
    """The page of a customer, a subscription or an invoice in Chargebee; None for other kinds and for emulated sites."""
    said, settings = CHARGEBEE.get(kind), connected.settings
    if said is None or not id or (settings.chargebee_api_url and not settings.chargebee_app_url):
        return None
    home = settings.chargebee_app_url or f"https://{settings.chargebee_site}.chargebee.com"
    return f"{home.rstrip('/')}/d/{said}/{quote(id, safe='')}"


def to_m3ter(connected: Connected, kind: str, id: str) -> str | None:
    """The page of an `account`, `accountplan`, `bill`, `plan`, `balance` … in m3ter; None unless the setting says where."""
    where = connected.settings.m3ter_console_url
    if where is None or not id:
        return None
    return where.replace("{kind}", quote(kind, safe="")).replace("{id}", quote(id, safe=""))
