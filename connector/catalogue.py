"""What Chargebee's catalogue says of an item price, asked once and kept as it was seen."""

from connector import mirror
from connector.clients.chargebee_objects import ItemPrice
from connector.services import Services
from connector.syncs import Run


def family_of(services: Services, run: Run, item_price_id: str) -> str | None:
    """The item family of the price; events of the catalogue keep it up to date."""
    with services.reading() as db:
        known = mirror.newest(db, run.connection, "item_price", item_price_id)
    if known is not None:
        return ItemPrice.from_json(known).item_family_id
    price = services.connection(run.connection).chargebee.retrieve_item_price(item_price_id)
    run.note(f"asked Chargebee for item price {item_price_id}")
    with services.transaction() as db:
        mirror.keep(db, run.connection, "item_price", price.raw, services.now(), settled=True)
    return price.item_family_id
