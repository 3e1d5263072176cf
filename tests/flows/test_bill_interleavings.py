"""Bills under anything that may come between: whatever the order, each ends right, or stops with a reason that is true.

A seed draws its own mix of what happens: workers that die at a call or a commit, answers that never come or come late,
refusals, approvals told twice, bills calculated again, people who add and remove lines, invoices that are closed, workers
that sleep and others that step in. Then it becomes calm, and a judge who knows nothing of the connector's code compares
what m3ter billed with what Chargebee holds. He counts lines by what the sandbox itself saw arrive.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

from connector import database, handlers, syncs
from connector.bills import approvals
from connector.clients.http import Http
from connector.errors import ConnectorError
from connector.models import LinePush, Receipt, Sync
from connector.services import Services
from tests.flows.conftest import CALLS_PRICE, FEE_PRICE, World
from tests.flows.dying import Died, drain, put_back, rows

pytestmark = pytest.mark.alternate_databases

GROUPS, SEEDS_OF_A_GROUP = 4, 4
ROUNDS = 9
JANUARY = {"date_from": 1767225600, "date_to": 1769904000}
# What the second bill's lines are for: mapped to another charge item by their type.
OF_ITS_OWN = {"aggregationId": None, "lineItemType": "AD_HOC", "description": "Fee"}
COMMENT = re.compile(r"m3ter bill (\S+) line")
REGIONS = ("eu", "us", "ap", "sa")
AMOUNTS = ("0", "0.005", "0.015", "0.335", "0.0049", "1", "1", "7", "19.99", "154.3125")
CREDITS = ("-0.01", "-1.5", "-4.005", "-500")
FAULTS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("chargebee", "add_charge_item", "cut", {}),
    ("chargebee", "add_charge_item", "refuse", {}),
    ("chargebee", "add_charge_item", "truncated", {}),
    ("chargebee", "add_charge_item", "html", {}),
    ("chargebee", "add_charge_item", "late", {"seconds": 5}),
    ("chargebee", "add_charge_item", "late", {"seconds": 110}),
    ("chargebee", "add_charge_item", "status", {"status": 429, "retry_after": 1}),
    ("chargebee", "add_charge_item", "status", {"status": 429, "retry_after": 60}),
    ("chargebee", "add_charge_item", "status_after", {"status": 500}),
    ("chargebee", "retrieve_invoice", "cut", {}),
    ("chargebee", "retrieve_invoice", "html", {}),
    ("chargebee", "retrieve_invoice", "status", {"status": 429, "retry_after": 30}),
    ("chargebee", "list_invoices", "html", {}),
    ("chargebee", "list_invoices", "truncated", {}),
    ("m3ter", "get_bill", "cut", {}),
    ("m3ter", "get_bill", "html", {}),
    ("m3ter", "get_bill", "expire_token", {}),
    ("m3ter", "list_bills", "truncated", {}),
)


@dataclass(frozen=True)
class Arrived:
    """A line that the connector put on an invoice, as the sandbox saw it."""

    bill_id: str
    line_id: str
    amount: int
    currency: str


@dataclass
class Life:
    """One seed's life of a bill, or of two that share a pending invoice."""

    world: World
    seed: int
    invoice_id: str
    chance: random.Random
    bills: list[str] = field(default_factory=list)
    totals: dict[str, set[int]] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    by_hand: dict[str, tuple[str, int]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    is_alone: bool = False
    closings: int = 0
    deaths: int = 0
    is_dead: bool = False
    is_open_to_events: bool = False
    told: list[str] = field(default_factory=list)

    def happened(self, what: str) -> None:
        self.told.append(what)

    # What may happen

    def events(self) -> list[tuple[int, Callable[[], None]]]:
        """Each with its weight in this life; several of them never happen in it."""
        every = (
            self.die, self.die, self.tell_twice, self.calculate_again, self.change, self.add_by_hand, self.remove_by_hand,
            self.close, self.sleep, self.sleep, self.another_worker,
        )  # fmt: skip
        return [(self.chance.choice((0, 1, 1, 3)), one) for one in every]

    def die(self) -> None:
        self.is_dead = True
        self.deaths += 1
        self.happened("the worker died")
        raise Died

    def tell_twice(self) -> None:
        for bill_id in self.bills:
            with self.world.services.transaction() as db:
                syncs.ask(
                    db, connection="default", kind="bill", subject=bill_id, trigger="told twice",
                    now=self.world.services.now(),
                )  # fmt: skip
        self.happened("approvals told twice")

    def calculate_again(self) -> None:
        bill_id = self.chance.choice(self.bills)
        self.world.m3ter.recalculate(bill_id)
        self.happened("calculated again, the same")
        if self.chance.random() < 0.8:
            self.approve(bill_id)

    def change(self) -> None:
        """The bill is calculated again with other lines; not once a person has removed one of its lines."""
        bill_id = self.chance.choice(self.bills)
        if any(one.line_id in self.removed for one in self.arrived if one.bill_id == bill_id):
            return
        lines = self.world.m3ter.extra_lines.get(bill_id, [])
        if lines and self.chance.random() < 0.4:
            lines.pop(self.chance.randrange(len(lines)))
        self.world.m3ter.recalculate(bill_id)
        for _ in range(self.chance.randint(0, 2)):
            self.world.m3ter.add_line(bill_id, **(self.line() | (OF_ITS_OWN if bill_id != self.bills[0] else {})))
        self.happened("calculated again, with other lines")
        if self.chance.random() < 0.8:
            self.approve(bill_id)

    def add_by_hand(self) -> None:
        """A person's line, often equal to one of ours; not while one is in doubt, for then nobody could tell the two apart."""
        if not self.is_pending() or self.in_doubt():
            return
        price = self.chance.choice((CALLS_PRICE, FEE_PRICE))
        amount = self.chance.choice((700, 700, 100, 1))
        invoice = self.world.chargebee.add_charge_item(self.invoice_id, price, amount, **JANUARY)
        self.by_hand[invoice["line_items"][-1]["id"]] = (price, amount)
        self.happened(f"a person added {amount}")

    def remove_by_hand(self) -> None:
        lines = self.lines() if self.is_pending() else {}
        known = sorted(lines.keys() & {*self.by_hand, *(one.line_id for one in self.arrived)})
        if known:
            line_id = self.chance.choice(known)
            self.world.chargebee.delete_line_items(self.invoice_id, [line_id])
            self.removed.add(line_id)
            self.happened(f"a person removed {lines[line_id]['amount']}")

    def close(self) -> None:
        """Somebody closes the invoice; not while a line is in doubt: see the test of that."""
        if self.is_pending() and not self.in_doubt() and self.chance.random() < 0.3:
            self.world.chargebee.close_invoice(self.invoice_id)
            self.closings += 1
            self.happened("the invoice was closed")

    def sleep(self) -> None:
        minutes = self.chance.choice((1, 3, 6, 11, 40))
        self.world.box.advance(timedelta(minutes=minutes))
        self.happened(f"{minutes} minutes passed")

    def another_worker(self) -> None:
        self.happened("another worker stepped in")
        drain(self.world)

    def line(self) -> dict[str, Any]:
        """A line of any sort that usage may come to."""
        negative = self.chance.random() < 0.2
        found = self.world.usage_line() | {"subtotal": Decimal(self.chance.choice(CREDITS if negative else AMOUNTS))}
        if negative:
            found |= {"lineItemType": "BALANCE_CONSUMED", "description": "Credit used"}
        if self.chance.random() < 0.5:
            found |= {"segment": {"region": self.chance.choice(REGIONS)}}
        if self.chance.random() < 0.2:
            found |= {"currency": "GBP", "conversionRate": Decimal("1.25")}
        return found

    def make_bills(self) -> None:
        """One bill of the plan, and often one of charges, for the same invoice; now and then that is in euros.

        The second one has a charge item of its own: what two bills put on one invoice is told apart.
        """
        first = self.world.bill(*(self.line() for _ in range(self.chance.randint(1, 5))))
        self.approve(first)
        self.bills = [first]
        if self.is_alone:
            return
        euros = {"currency": "EUR"} if self.chance.random() < 0.15 else {}
        second = self.make_second(first, **euros)
        for _ in range(self.chance.randint(1, 3)):
            line = self.line() | (euros or {"currency": "USD"}) | {"conversionRate": Decimal(1)} | OF_ITS_OWN
            self.world.m3ter.add_line(second, **line)
        self.approve(second)
        self.bills.append(second)

    def make_second(self, first: str, **difference: Any) -> str:
        """Another bill of the same account and period, of charges alone."""
        like = {name: value for name, value in self.bill(first).items() if name not in ("id", "version")}
        made = {**like, "billingFrequency": "AD_HOC", "status": "PENDING", "lineItems": [], **difference}
        second = self.world.m3ter._audited(made)
        self.world.m3ter.bills[second["id"]] = second
        return str(second["id"])

    def approve(self, bill_id: str) -> None:
        self.world.m3ter.approve(bill_id)
        self.totals.setdefault(bill_id, set()).add(self.due(bill_id))

    # What is

    def bill(self, bill_id: str) -> dict[str, Any]:
        return dict(self.world.m3ter.bills[bill_id])

    def due(self, bill_id: str) -> int:
        """The bill's total in cents, rounded once."""
        return int((Decimal(self.bill(bill_id)["billTotal"]) * 100).quantize(Decimal(1), ROUND_HALF_EVEN))

    def is_pending(self) -> bool:
        return self.invoice_id in self.world.chargebee.invoices

    def lines(self) -> dict[str, dict[str, Any]]:
        """Every line on any invoice, open or closed."""
        invoices = self.world.chargebee.invoices.values()
        return {line["id"]: line for invoice in invoices if not invoice["deleted"] for line in invoice["line_items"]}

    def in_doubt(self) -> bool:
        """Whether a line is under way, or its answer is missing."""
        with database.Session(self.world.services.engine) as db:
            return db.query(LinePush).filter(LinePush.status.in_(("sending", "parked"))).count() > 0

    # The course of events

    def gate(self) -> None:
        """A point at which anything may come between the connector's steps."""
        if self.is_dead:
            raise Died
        if self.is_open_to_events and self.chance.random() < self.pressure:
            self.one_event()

    def one_event(self) -> None:
        self.is_open_to_events = False
        weights = [weight for weight, _ in self.mix]
        try:
            self.chance.choices([event for _, event in self.mix], weights)[0]()
        finally:
            self.is_open_to_events = True

    def run(self) -> None:
        self.mix = [*self.events(), (1, self.sleep)]
        self.pressure = self.chance.choice((0.03, 0.08, 0.15))
        self.make_bills()
        for _ in range(ROUNDS):
            if self.chance.random() < 0.5:
                provider, operation, kind, detail = self.chance.choice(FAULTS)
                skip, count = self.chance.randint(0, 3), self.chance.choice((1, 1, 1, 4))
                self.world.box.faults.order(provider, operation, kind, count, skip=skip, **detail)
                self.happened(f"ordered: {operation} {kind}, after {skip}, {count} times")
            self.is_open_to_events = True
            with suppress(Died, ConnectorError):
                approvals.poll(self.world.services, "default")
                drain(self.world)
            with suppress(Died):
                self.one_event()
            self.is_dead = self.is_open_to_events = False
            self.world.box.advance(timedelta(seconds=self.chance.choice((0, 5, 130, 700))))

    def calm_down(self) -> None:
        """No more faults: what is left gets the time it needs, and a person approves what was forgotten."""
        self.world.box.faults.orders.clear()
        for bill_id in self.bills:
            if self.bill(bill_id)["status"] == "PENDING" and self.chance.random() < 0.7:
                self.approve(bill_id)
        for _ in range(5):
            self.world.deliver()
            approvals.poll(self.world.services, "default")
            drain(self.world)
            self.world.box.advance(timedelta(minutes=13))
        drain(self.world)

    def retry_what_stopped(self) -> None:
        """A person lets everything go on that stopped, whether or not that helps."""
        with self.world.services.transaction() as db:
            for row in db.query(Sync).filter(Sync.status == "parked").order_by(Sync.id).all():
                syncs.retry(db, row.id, "ada", self.world.services.now())
                self.happened(f"retried after {row.cause}")


@contextmanager
def gates(life: Life, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Anything may happen before and after each call and around each commit; and the sandbox notes what arrives."""
    call, transaction, reading = Http.call, database.transaction, database.reading
    chargebee = type(life.world.chargebee)
    add = chargebee._add_line

    def gated_call(self: Http, **request: Any) -> Any:
        life.gate()
        answer = call(self, **request)
        life.gate()
        return answer

    @contextmanager
    def gated_transaction(engine: Any) -> Iterator[Any]:
        with transaction(engine) as db:
            if life.is_dead:
                raise Died
            yield db
            if life.is_open_to_events and life.chance.random() < life.pressure / 8:
                life.is_dead, life.deaths = True, life.deaths + 1
                raise Died
        life.gate()

    @contextmanager
    def gated_reading(engine: Any) -> Iterator[Any]:
        if life.is_dead:
            raise Died
        with reading(engine) as db:
            yield db

    def noted_line(self: Any, invoice: Any, line: Any, comment: str | None) -> Any:
        if comment and (found := COMMENT.match(comment)):
            assert invoice["status"] == "pending"
            life.arrived.append(Arrived(found[1], line["id"], line["amount"], invoice["currency_code"]))
        return add(self, invoice, line, comment)

    with monkeypatch.context() as patched:
        patched.setattr(Http, "call", gated_call)
        patched.setattr(database, "transaction", gated_transaction)
        patched.setattr(database, "reading", gated_reading)
        patched.setattr(chargebee, "_add_line", noted_line)
        yield


# The judge


def judge(life: Life) -> Counter[str]:
    """Fails where a line is twice, lost, or a reason is not true; answers how the bills ended."""
    world, lines = life.world, life.lines()
    with world.services.reading() as db:
        receipts = {row.bill_id: row.body for row in db.query(Receipt).order_by(Receipt.id).all()}
        everything = db.query(Sync).order_by(Sync.id).all()
    bills = {row.subject: row for row in everything if row.kind == "bill"}
    assert set(bills) == set(life.bills)
    for row in everything:
        assert row.status in ("succeeded", "waiting", "parked"), f"{row.kind} {row.status} {row.cause} {row.text}"
        if row.status != "succeeded":
            assert row.cause, row
            assert row.text, row
            assert row.next_step, row
    refused = [
        call
        for call in world.calls("chargebee", "add_charge_item")
        if 400 <= (call.status or 0) < 500 and not call.fault
    ]
    assert len(refused) <= life.closings, "sent to an invoice that was not pending"
    for bill_id, row in bills.items():
        bill, due = life.bill(bill_id), life.due(bill_id)
        ours = {one.line_id: one for one in life.arrived if one.bill_id == bill_id}
        standing = sum(lines[one]["amount"] for one in ours if one in lines)
        assert {one.currency for one in ours.values()} <= {bill["currency"]}
        assert standing <= max(life.totals[bill_id] | {0}), "more is on the invoice than was ever approved"
        if row.status == "succeeded" and bill["status"] == "APPROVED":
            is_whole(receipts[bill_id], due, ours, lines, life.removed)
        elif row.status == "succeeded":
            told = receipts.get(bill_id, {"bill_total": "0"})["bill_total"]  # of an approval before
            assert int(Decimal(told) * 100) in life.totals[bill_id] | {0}
        else:
            assert REASONS[str(row.cause)](life, row, due, standing), f"not true: {row.cause}: {row.text}"
    return Counter(f"{row.status} {row.cause or ''}".strip() for row in bills.values())


def is_whole(
    receipt: dict[str, Any], due: int, ours: dict[str, Arrived], lines: dict[str, Any], removed: set[str]
) -> None:
    """The receipt's totals are the bill's, its lines are those that arrived, and nothing else of ours stands anywhere."""
    assert receipt["equal"] is True
    assert Decimal(receipt["bill_total"]) * 100 == Decimal(receipt["invoice_total_added"]) * 100 == due
    said = {
        charge["chargebee_line_id"]: Decimal(charge["of"]) * 100
        for line in receipt["lines"]
        for charge in line["charges"]
    }
    said.pop(None, None)
    # A charge of an earlier approval is on the receipt as well, unless its line has left the bill since.
    assert said.keys() <= ours.keys()
    assert all(ours[line_id].amount == amount for line_id, amount in said.items())
    kept = {line_id for line_id in ours if line_id in lines}
    assert kept | (removed & ours.keys()) >= said.keys(), "on the receipt, but not on the invoice"
    assert sum(ours[one].amount for one in kept | (removed & said.keys())) == due, "the invoice differs from the bill"


def _nothing_pending(life: Life, row: Sync, due: int, standing: int) -> bool:
    return not life.is_pending()


def _closed(life: Life, row: Sync, due: int, standing: int) -> bool:
    said = re.search(r"(\d+) of (\d+) lines were added, ([\d.]+) USD were not", str(row.text))
    rest = int(Decimal(said[3]) * 100) if said else None
    # A line that was removed while it was in doubt was not added, one that was removed later was.
    sums = {standing}
    for one in life.arrived:
        if one.bill_id == row.subject and one.line_id in life.removed:
            sums |= {known + one.amount for known in sums}
    return not life.is_pending() and (rest is None or any(known + rest in life.totals[row.subject] for known in sums))


def _ours_was_removed(life: Life, row: Sync, due: int, standing: int) -> bool:
    return any(one.line_id in life.removed for one in life.arrived if one.bill_id == row.subject)


def _somebody_wrote(life: Life, row: Sync, due: int, standing: int) -> bool:
    return bool(life.by_hand)


def _less(life: Life, row: Sync, due: int, standing: int) -> bool:
    said = re.search(r"by ([\d.]+) USD", str(row.text))
    sent = sum(one.amount for one in life.arrived if one.bill_id == row.subject)
    # Of a bill that was calculated again and not yet approved, the text is about an approval before.
    dues = {due} if life.bill(row.subject)["status"] == "APPROVED" else life.totals[row.subject]
    return said is not None and sent - int(Decimal(said[1]) * 100) in dues


def _more_is_due(life: Life, row: Sync, due: int, standing: int) -> bool:
    return max(life.totals[row.subject]) > standing


Reason = Callable[[Life, Sync, int, int], bool]
REASONS: dict[str, Reason] = {
    "no_pending_invoice": _nothing_pending,
    "invoice_closed": _closed,
    "verification_failed": _ours_was_removed,
    "line_removed": _ours_was_removed,
    "several_equal_lines": _somebody_wrote,
    "line_in_doubt": _somebody_wrote,
    "amount_differs": _somebody_wrote,
    "foreign_lines": _somebody_wrote,
    "unapproved_midway": lambda life, row, due, standing: life.bill(row.subject)["status"] == "PENDING",
    "less_than_sent": _less,
    "credit_withdrawn": _more_is_due,
    "negative_total": lambda life, row, due, standing: due < 0 and not standing,
    "currency_mismatch": lambda life, row, due, standing: life.bill(row.subject)["currency"] != "USD" and not standing,
    "unmapped_line": lambda life, row, due, standing: life.bill(row.subject)["currency"] != "USD" and not standing,
    "crashed": lambda life, row, due, standing: life.deaths >= 5,
}


# The tests


def test_while_one_bill_is_sent_another_one_for_the_same_invoice_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    world.settle()
    life = Life(world, 0, world.renew(), random.Random(0))
    world.map("LineItemType", "AD_HOC", FEE_PRICE)
    life.make_bills()
    approvals.poll(world.services, "default")
    first, second = (world.sync("bill", bill_id).id for bill_id in life.bills)
    call, met = Http.call, []

    def meet(self: Http, **request: Any) -> Any:
        if request["writes"] and request["provider"] == "Chargebee" and not met:
            met.append("")
            met[0] = syncs.attempt(world.services, second, handlers.KINDS)
        return call(self, **request)

    with monkeypatch.context() as patched:
        patched.setattr(Http, "call", meet)
        assert syncs.attempt(world.services, first, handlers.KINDS) == "succeeded"
    assert (met, world.sync("bill", life.bills[1]).cause) == (["waiting"], "invoice_in_doubt")
    world.wait(minutes=1)
    assert world.sync("bill", life.bills[1]).status == "succeeded"


def test_a_line_of_another_bill_is_not_taken_for_one_in_doubt(
    world: World, make_services: Callable[..., Services]
) -> None:
    world.services = make_services(FOREIGN_LINES="ignore")
    world.sign_up()
    world.settle()
    life = Life(world, 0, world.renew(), random.Random(0))
    first = world.bill({"subtotal": 7})
    second = life.make_second(first)
    world.m3ter.add_line(second, **(world.usage_line() | {"subtotal": 7}))
    world.box.faults.order("chargebee", "add_charge_item", "refuse")
    world.poll()
    world.m3ter.approve(second)
    world.poll()
    for _ in range(3):
        world.wait(minutes=3)
    assert [world.sync("bill", one).status for one in (first, second)] == ["succeeded", "succeeded"]
    assert world.charges(life.invoice_id) == [(CALLS_PRICE, 700), (CALLS_PRICE, 700)]


@pytest.mark.parametrize("group", range(GROUPS))
def test_any_interleaving_ends_right_or_parked_with_a_true_reason(
    world: World, make_services: Callable[..., Services], group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sign_up()
    world.settle()
    invoice_id = world.renew()
    world.map("LineItemType", "AD_HOC", FEE_PRICE)
    world.forget_calls()
    start, kept = world.box.snapshot(), rows(world)
    ends: Counter[str] = Counter()
    for seed in range(group * SEEDS_OF_A_GROUP, (group + 1) * SEEDS_OF_A_GROUP):
        world.box.restore(start)
        put_back(world, kept)
        world.services.redis.flushall()  # or it takes the database for one restored from a backup
        chance = random.Random(seed)
        is_alone = chance.random() < 0.4
        world.services = make_services(
            FOREIGN_LINES="park" if is_alone else "ignore", GROUP_LINES=chance.choice(("auto", "always"))
        )
        life = Life(world, seed, invoice_id, chance, is_alone=is_alone)
        with gates(life, monkeypatch):
            try:
                life.run()
                life.calm_down()
                judge(life)
                life.retry_what_stopped()
                life.calm_down()
                ends += judge(life)
            except BaseException as error:
                error.add_note(f"seed {seed}:\n" + "\n".join(life.told))
                raise
    print(f"seeds {group * SEEDS_OF_A_GROUP} to {(group + 1) * SEEDS_OF_A_GROUP - 1}: {dict(ends)}")  # noqa: T201
