"""A balance as a person is shown it: read from m3ter as it is now, with the threshold that it is watched for."""

from connector.balances import held, picture, upcoming, watches, watching
from connector.balances.forecast import HORIZON
from connector.balances.held import last_moment
from connector.balances.picture import Picture
from connector.services import Services


def taken(services: Services, connection: str, balance_id: str) -> Picture:
    """The picture of a balance; reads it, its transactions, charges and schedules, changes nothing."""
    m3ter = services.connection(connection).m3ter.balance_billing
    seen = watching.look(services, connection, balance_id)
    balance, now = seen.balance, seen.stands.at
    until = min(last_moment(balance), now + HORIZON)
    with services.reading() as db:
        watch = watches.find(db, connection, balance_id)
    threshold = None if watch is None else watch.threshold
    coming = watching.coming_credits(services, connection, seen)
    charges = list(m3ter.list_charges(account_id=balance.account_id, entity_id=balance_id))
    return picture.compose(
        balance, seen.transactions, charges, now=now, threshold=threshold, coming_credits=coming,
        coming_charges=upcoming.charges(m3ter, balance, charges, now, until),
        forecast=watching.outlook(services, seen, threshold, coming),
        disagreements=held.disagreements(balance, seen.transactions, m3ter.transaction_summary(balance_id)),
    )  # fmt: skip
