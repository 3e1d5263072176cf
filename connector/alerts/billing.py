"""Invoices about to close without their bills, balances that run low, and what shadow mode has found."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, select

from connector.alerts.findings import Finding, number, page
from connector.alerts.rules import URGENT, WARNING
from connector.balances import watches
from connector.bills import closing
from connector.bills.comparing import EQUAL
from connector.models import BalanceWatch, BillComparison
from connector.services import Services

COMPARED_WITHIN = timedelta(days=45)
# How each state of a watch is said, and what to do about it.
LOW_BALANCES = {
    watches.LOW: ("runs low", "run low", "Top it up, or change what is watched for."),
    watches.CAP_REACHED: (
        "runs low and its automatic top-ups have reached their cap",
        "run low and their automatic top-ups have reached their cap",
        "Top it up by hand or raise the cap.",
    ),
    watches.REFUSED: (
        "runs low and its automatic top-up does not go through",
        "run low and their automatic top-ups do not go through",
        "Mend what the top-up's sync says and retry that.",
    ),
    watches.GONE: ("is gone though it is watched", "are gone though they are watched", "Find out who deleted it."),
}


def find_closings(services: Services) -> Iterator[Finding]:
    """Invoices that the site closes before their bills are surely on them."""
    for name in services.connections:
        risky = [one for one in closing.of_connection(services, name) if one.at_risk]
        if risky:
            first, whose = risky[0], "its bill is" if len(risky) == 1 else "their bills are"
            yield Finding(
                "closing", name, URGENT,
                f"{number(len(risky), 'invoice')} of {name} may close before {whose} on; the first at "
                f"{first.closes_at:%Y-%m-%d %H:%M} UTC waits for {first.needs}",
                "Do what each waits for, or put the closing off in Chargebee.",
                page("/syncs", connection=name, kind="bill"), f"connector bills closing --connection {name}",
                count=len(risky), since=None,
            )  # fmt: skip


def find_low_balances(services: Services) -> Iterator[Finding]:
    """Watched balances that hold too little, by what is done about it."""
    said = (BalanceWatch.connection, BalanceWatch.state)
    with services.reading() as db:
        rows = db.execute(
            select(*said, func.count(), func.min(BalanceWatch.state_since))
            .where(BalanceWatch.enabled, BalanceWatch.state.in_(LOW_BALANCES))
            .group_by(*said)
        ).all()
    for name, state, count, since in rows:
        if name in services.connections:
            one, many, next_step = LOW_BALANCES[state]
            yield Finding(
                "balance_low", name, WARNING, f"{number(count, 'balance')} of {name} {one if count == 1 else many}", next_step,
                page("/syncs", connection=name, kind=watches.KIND, status="parked"),
                f"connector balances watches list --connection {name}", about=(state,), count=count, since=since,
            )  # fmt: skip


def find_shadow_differences(services: Services) -> Iterator[Finding]:
    """Bills of which shadow mode would have sent something else than was invoiced, while it is on."""
    since = services.now() - COMPARED_WITHIN
    counts: dict[str, int] = defaultdict(int)
    with services.reading() as db:
        for name, connected in services.connections.items():
            if connected.settings.shadow:
                differing = select(func.count(BillComparison.id)).where(
                    BillComparison.connection == name, BillComparison.billed_until > since, BillComparison.is_final,
                    BillComparison.verdict != EQUAL,
                )  # fmt: skip
                counts[name] = db.scalar(differing) or 0
    for name, count in counts.items():
        if count:
            yield Finding(
                "shadow_differs", name, WARNING,
                f"{number(count, 'bill')} of {name} {'differs' if count == 1 else 'differ'} from what was invoiced, as shadow "
                "mode has found",
                "Compare them before shadow mode is switched off.", page("/syncs", connection=name, kind="bill"),
                f"connector bills shadow --connection {name}", count=count,
            )  # fmt: skip
