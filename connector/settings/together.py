"""What settings must be to each other: each check takes them as they were written and gives its complaints."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from connector.settings.connection import DEFAULT_CONNECTION
from connector.settings.installation import Settings

# The money protocol is safe only while each of these is longer than the one before.
RISING_TIMES = (
    "http_timeout_seconds",
    "settle_wait_seconds",
    "job_deadline_seconds",
    "lease_seconds",
    "key_window_seconds",
)


def order_of_times(values: Mapping[str, Any]) -> list[str]:
    """Whether the times of the money protocol rise, and leave room for the repeats of a last call."""
    try:
        times = {name: int(values.get(name, Settings.model_fields[name].default)) for name in RISING_TIMES}
    except (TypeError, ValueError):
        return []  # reported with the field itself
    if not all(times[low] < times[high] for low, high in pairwise(RISING_TIMES)):
        said = " < ".join(f"{name.upper()} ({value})" for name, value in times.items())
        return [f"these must rise in this order: {said}"]
    # A call begun just before the deadline may be tried three times: all of that must be over before the lease is.
    if times["lease_seconds"] <= times["job_deadline_seconds"] + 4 * times["http_timeout_seconds"]:
        return ["LEASE_SECONDS must be more than JOB_DEADLINE_SECONDS and four times HTTP_TIMEOUT_SECONDS together"]
    return []


# What single sign-on needs whole, and what says who gets which role.
SIGN_ON = ("oidc_issuer", "oidc_client_id", "oidc_client_secret")
SIGN_ON_ROLES = ("oidc_admins", "oidc_operators", "oidc_viewers")


def half_sign_on(values: Mapping[str, Any]) -> list[str]:
    """Whether single sign-on is configured whole or not at all."""
    has_roles = any(values.get(name) for name in SIGN_ON_ROLES)
    if not any(values.get(name) for name in SIGN_ON):
        alone = [name.upper() for name in SIGN_ON_ROLES if values.get(name)]
        return [f"{', '.join(alone)}: of no use without {', '.join(SIGN_ON).upper()}"] if alone else []
    problems = []
    if not all(values.get(name) for name in SIGN_ON):
        problems.append(f"{', '.join(SIGN_ON).upper()} go together: set all of them or none")
    if not has_roles:
        problems.append(f"{', '.join(SIGN_ON_ROLES).upper()}: set at least one of them, else nobody gets in")
    if not values.get("console_url"):
        problems.append("CONSOLE_URL is missing: the provider sends people back to it")
    return problems


# What is of use only together.
TOGETHER = (
    ("chargebee_webhook_username", "chargebee_webhook_password"),
    ("chargebee_webhook_previous_username", "chargebee_webhook_previous_password"),
    ("m3ter_webhook_secret", "m3ter_webhook_signature_header", "m3ter_webhook_signature_scheme"),
)


def half_credentials(name: str, connection: Mapping[str, Any]) -> list[str]:
    """Whether each way of proving who calls is configured whole or not at all."""
    prefix = "" if name == DEFAULT_CONNECTION else f"connections.{name}: "
    problems = [
        f"{prefix}{', '.join(field.upper() for field in fields)} go together: set all of them or none"
        for fields in TOGETHER
        if len({bool(connection.get(field)) for field in fields}) > 1
    ]
    for field in ("chargebee_webhook_username", "chargebee_webhook_previous_username"):
        if ":" in str(connection.get(field) or ""):
            problems.append(f"{prefix}{field.upper()}: basic auth cannot carry a colon in a user name")
    return problems
