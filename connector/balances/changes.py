"""Change, end and delete what Balance Billing has: worked out first with all that speaks against it, then done.

An update names its fields as `drafts` names them and is checked as a draft of what would stand afterwards. Doing the same
twice changes nothing the second time. What a schedule has made already is never touched.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from connector import audit, money
from connector.balances import asking, drafts, requests
from connector.balances.drafts import BALANCE, CHARGE, CHARGE_SCHEDULE, TRANSACTION_SCHEDULE, Draft, located
from connector.balances.in_m3ter import Standing, title
from connector.balances.objections import DELETE, HALF_OF_TOP_UP, UPDATE, Against, Objection
from connector.balances.requests import WITHDRAWN
from connector.clients.m3ter_balance_objects import Balance, Charge, ChargeSchedule, TransactionSchedule
from connector.clients.m3ter_balances import BalanceBilling
from connector.errors import BadInput, ConnectorError, NotFound, Parked, Retryable, Uncertain
from connector.services import Services

# A code is what things are found again by, so it stays; the draft that checks a change needs one all the same.
ANY_CODE = "unchanged"

# The fields that hold several; none is all of them.
LISTS = frozenset({"product_ids", "line_item_types"})


@dataclass(frozen=True)
class Change:
    """What would be done to one thing in m3ter.

    `fields` are what an update sends, by m3ter's names (None removes one), and `before` the same as they are; both are
    empty where nothing would change. `remarks` say what stays as it is and what is to be done next. `other` is what is done
    with it to the other half of its top-up.
    """

    action: str
    kind: str
    id: str
    balance_id: str | None
    title: str
    fields: Mapping[str, Any]
    before: Mapping[str, Any]
    objections: tuple[Objection, ...]
    remarks: tuple[str, ...]
    draft: Draft | None = None
    other: "Change | None" = None

    @property
    def is_needed(self) -> bool:
        """Whether anything would be different afterwards."""
        return self.changes_itself or (self.other is not None and self.other.is_needed)

    @property
    def changes_itself(self) -> bool:
        """Whether anything of the thing itself would be different, whatever happens to its other half."""
        return self.action == DELETE or bool(self.fields)

    @property
    def parts(self) -> "tuple[Change, ...]":
        """Itself, and what is done with it."""
        return (self,) if self.other is None else (self, self.other)


@dataclass(frozen=True)
class Kind:
    """How one kind of thing is drafted anew, and changed; `names` are m3ter's, by the draft's arguments."""

    draft: Callable[..., Draft]
    names: Mapping[str, str]
    attributes: Mapping[str, str]
    fixed: Callable[[Any], dict[str, Any]]
    update: Callable[[BalanceBilling, Change], object]
    delete: Callable[[BalanceBilling, Change], None]


def _balance_id(change: Change) -> str:
    if change.balance_id is None:
        raise ValueError("a schedule is always a balance's")
    return change.balance_id


def _of_charge(charge: Charge) -> dict[str, Any]:
    on_balance = charge.entity_type == "BALANCE"
    return {
        "account_id": None if on_balance else charge.account_id,
        "balance_id": charge.entity_id if on_balance else None,
    }


def _of_balance(balance: Balance) -> dict[str, Any]:
    return {"account_id": balance.account_id, "currency": balance.currency}


def _of_schedule(schedule: TransactionSchedule | ChargeSchedule) -> dict[str, Any]:
    return {"balance_id": schedule.balance_id}


KINDS: dict[str, Kind] = {
    BALANCE: Kind(
        drafts.balance,
        {
            "name": "name", "description": "description", "start": "startDate", "end": "endDate",
            "rollover_end": "rolloverEndDate", "rollover_amount": "rolloverAmount",
            "draw_down_description": "balanceDrawDownDescription", "overage_percent": "overageSurchargePercent",
            "overage_description": "overageDescription", "product_ids": "productIds",
            "line_item_types": "lineItemTypes", "consumptions_product_id": "consumptionsAccountingProductId",
            "fees_product_id": "feesAccountingProductId",
        },
        {
            "overage_percent": "overage_surcharge_percent",
            "consumptions_product_id": "consumptions_accounting_product_id",
            "fees_product_id": "fees_accounting_product_id",
        },
        _of_balance,
        lambda m3ter, change: m3ter.update_balance(change.id, change.fields),
        lambda m3ter, change: m3ter.delete_balance(change.id),
    ),
    TRANSACTION_SCHEDULE: Kind(
        drafts.transaction_schedule,
        {
            "name": "name", "amount": "amount", "type_id": "transactionTypeId", "description": "transactionDescription",
            "start": "startDate", "end": "endDate", "frequency": "frequency", "every": "frequencyInterval",
            "paid": "paid", "currency_paid": "currencyPaid",
        },
        {"type_id": "transaction_type_id", "every": "frequency_interval"},
        _of_schedule,
        lambda m3ter, change: m3ter.update_transaction_schedule(_balance_id(change), change.id, change.fields),
        lambda m3ter, change: m3ter.delete_transaction_schedule(_balance_id(change), change.id),
    ),
    CHARGE: Kind(
        drafts.charge,
        {
            "name": "name", "currency": "currency", "amount": "amount", "units": "units", "unit_price": "unitPrice",
            "start": "servicePeriodStartDate", "end": "servicePeriodEndDate", "bill_date": "billDate",
            "description": "description", "notes": "notes", "product_id": "accountingProductId",
        },
        {"product_id": "accounting_product_id"},
        _of_charge,
        lambda m3ter, change: m3ter.update_charge(change.id, change.fields),
        lambda m3ter, change: m3ter.delete_charge(change.id),
    ),
    CHARGE_SCHEDULE: Kind(
        drafts.charge_schedule,
        {
            "name": "name", "currency": "currency", "amount": "amount", "units": "units", "unit_price": "unitPrice",
            "start": "servicePeriodStartDate", "end": "servicePeriodEndDate", "frequency": "billFrequency",
            "every": "billFrequencyInterval", "description": "chargeDescription", "in_advance": "billInAdvance",
            "bill_epoch": "billEpoch",
        },
        {"every": "frequency_interval"},
        _of_schedule,
        lambda m3ter, change: m3ter.update_charge_schedule(_balance_id(change), change.id, change.fields),
        lambda m3ter, change: m3ter.delete_charge_schedule(_balance_id(change), change.id),
    ),
}  # fmt: skip


def update(
    services: Services, connection: str, kind: str, standing: Standing, wanted: Mapping[str, Any]
) -> Change:  # fmt: skip
    """What changing these fields would do, by the arguments of their draft; None takes a field away.

    Raises BadInput with every fault of what would stand afterwards. Asks m3ter only to read.
    """
    how = KINDS[kind]
    current = {name: _current(how, standing, name) for name in how.names}
    changed = {name: value for name, value in _priced(how, wanted).items() if _plain(value) != current[name]}
    after = {name: () if value is None and name in LISTS else value for name, value in {**current, **changed}.items()}
    draft = how.draft(code=ANY_CODE, **how.fixed(standing), **after)
    if kind == TRANSACTION_SCHEDULE and {"start", "end"} & set(changed) and _grows(current, changed):
        located(draft, services.connection(connection).m3ter.balance_billing.get_balance(str(draft.balance_id)))
    if new := [changed[name] for name in ("currency", "currency_paid") if changed.get(name)]:
        drafts.must_be_known(asking.known_currencies(services, connection), *new)
    sent = _as_sent({how.names[name]: value for name, value in changed.items()})
    found = Against(services, connection, kind, standing)
    against = found.objections(UPDATE, changed) if changed else []
    return Change(
        UPDATE, kind, standing.id, draft.balance_id, title(kind, standing), sent,
        {name: standing.raw.get(name) for name in sent}, tuple(against), tuple(found.remarks(UPDATE)), draft,
    )  # fmt: skip


def end(
    services: Services, connection: str, kind: str, standing: Standing, at: datetime, *, both: bool = False
) -> Change:
    """What ending a schedule at that moment would do; nothing where it ends by then already.

    With `both` the other half of its top-up ends with it; raises BadInput where there is none that could.
    """
    change = update(services, connection, kind, standing, {"end": at} if standing.end > at else {})
    if not both:
        return change
    other_kind, other = _other_schedule(services, connection, kind, standing, _balance_id(change))
    with_it = update(services, connection, other_kind, other, {"end": at} if other.end > at else {})
    return replace(_without_half(change), other=_without_half(with_it))


def _without_half(change: Change) -> Change:
    return replace(change, objections=tuple(one for one in change.objections if one.code != HALF_OF_TOP_UP))


def _other_schedule(
    services: Services, connection: str, kind: str, standing: Standing, balance_id: str
) -> tuple[str, Standing]:
    named, m3ter = title(kind, standing), services.connection(connection).m3ter.balance_billing
    with services.reading() as db:
        other = requests.other_half(db, connection, kind, standing.id)
    if other is None:
        raise BadInput(f"{named} is half of no top-up that was asked for here: end it by itself")
    told = requests.described(other)
    if other.status == WITHDRAWN:
        raise BadInput(f"the other half of {named}, {told}, was taken back: end this one by itself")
    if other.m3ter_id is None:
        raise BadInput(
            f"the other half of {named}, {told}, is {other.status}, not made yet: let it be made, or withdraw it, first"
        )
    try:
        if other.kind == CHARGE_SCHEDULE:
            return other.kind, m3ter.get_charge_schedule(balance_id, other.m3ter_id)
        return other.kind, m3ter.get_transaction_schedule(balance_id, other.m3ter_id)
    except NotFound:
        raise BadInput(f"m3ter no longer has the other half of {named}, {told}: end this one by itself") from None


def deletion(services: Services, connection: str, kind: str, standing: Standing) -> Change:
    """What deleting it would do. Asks m3ter only to read."""
    found = Against(services, connection, kind, standing)
    fixed = KINDS[kind].fixed(standing)
    return Change(
        DELETE, kind, standing.id, fixed.get("balance_id"), title(kind, standing), {}, {},
        tuple(found.objections(DELETE, {})), tuple(found.remarks(DELETE)),
    )  # fmt: skip


def apply(
    services: Services, connection: str, change: Change, *, who: str, despite: Collection[str] = (), reason: str | None = None
) -> None:  # fmt: skip
    """Make the change, and keep who made it; raises Parked for what speaks against it and is not named in `despite`."""
    must_be_meant(change, despite)
    _apply(services, connection, change, who, despite, reason)
    if change.other is None:
        return
    try:
        _apply(services, connection, change.other, who, despite, reason)
    except Uncertain:
        raise
    except ConnectorError as failed:
        left = f"{change.title} has ended, {change.other.title} has not: do the same again, which ends only that"
        if isinstance(failed, Retryable):
            raise Retryable(f"{failed}; {left}", retry_after=failed.retry_after) from failed
        raise ConnectorError(f"{failed}; {left}") from failed


def _apply(
    services: Services, connection: str, change: Change, who: str, despite: Collection[str], reason: str | None
) -> None:
    if not change.changes_itself:
        return
    how, m3ter = KINDS[change.kind], services.connection(connection).m3ter.balance_billing
    told = {"fields": _readable(change.fields), "before": _readable(change.before), "despite": sorted(despite)}
    _note(services, connection, change, who, "asked", reason=reason, **told)
    try:
        (how.update if change.action == UPDATE else how.delete)(m3ter, change)
    except Uncertain as unknown:
        if change.action == UPDATE:
            _keep(services, connection, change)  # it is what is asked for, whether m3ter has it yet or not
        _note(services, connection, change, who, "not known")
        raise Uncertain(
            f"{unknown}; whether {change.title} has changed is not known: do the same again, which changes only what is not "
            "so yet"
        ) from unknown
    except ConnectorError:
        _note(services, connection, change, who, "refused")
        raise
    _keep(services, connection, change)
    _note(services, connection, change, who, "done")


def note_gone(services: Services, connection: str, kind: str, m3ter_id: str, *, who: str) -> bool:
    """Keep that a person wants gone what m3ter no longer has; False where it was never made here."""
    with services.transaction() as db:
        request = requests.made_as(db, connection, kind, m3ter_id)
        if request is None:
            return False
        requests.deleted(db, request, services.now())
        audit.note(
            db, who=who, action=f"balances {DELETE} {kind}", connection=connection, subject=m3ter_id,
            now=services.now(), outcome="gone before", title=requests.described(request),
        )  # fmt: skip
    return True


def must_be_meant(change: Change, despite: Collection[str]) -> None:
    """Raise Parked unless everything that speaks against the change is named."""
    against = [one for one in change.objections if one.code not in despite]
    if against:
        flags = " ".join(f"--despite {one.code}" for one in change.objections)
        raise Parked(
            against[0].code,
            f"{change.title}: " + "; ".join(one.text for one in against),
            f"If it is meant all the same, say so: {flags}",
        )


def _current(how: Kind, standing: Standing, name: str) -> Any:
    return _plain(getattr(standing, how.attributes.get(name, name)))


def _plain(value: Any) -> Any:
    """A value that can be compared: lists without their order, and None where one is empty."""
    return tuple(sorted(value)) or None if isinstance(value, list | tuple | set) else value


def _priced(how: Kind, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """An amount takes the place of units and their price, and the reverse."""
    by_units = {"units", "unit_price"} & set(wanted)
    if "units" not in how.names or (by_units and "amount" in wanted):
        return dict(wanted)
    if by_units:
        return {"amount": None, **wanted}
    return {"units": None, "unit_price": None, **wanted} if "amount" in wanted else dict(wanted)


def _grows(current: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    after = {**current, **changed}
    return bool(after["start"] != current["start"] or after["end"] > current["end"])


def _as_sent(fields: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    given = {name: value for name, value in values.items() if value is not None and value != []}
    return {**dict.fromkeys(values), **drafts.as_sent(drafts.as_stored(given))}


def _readable(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: format(money.amount(value), "f") if name in drafts.NUMBERS and value is not None else value
        for name, value in fields.items()
    }


def _note(services: Services, connection: str, change: Change, who: str, outcome: str, **detail: Any) -> None:
    with services.transaction() as db:
        audit.note(
            db, who=who, action=f"balances {change.action} {change.kind}", connection=connection, subject=change.id,
            now=services.now(), outcome=outcome, title=change.title, **detail,
        )  # fmt: skip


def _keep(services: Services, connection: str, change: Change) -> None:
    """What is asked for of it, where that was asked for here, is now as it has become."""
    with services.transaction() as db:
        request = requests.made_as(db, connection, change.kind, change.id)
        if request is not None and change.action == DELETE:
            requests.deleted(db, request, services.now())
        elif request is not None and change.draft is not None:
            told = {**request.body, **_readable(change.fields)}
            body = {name: value for name, value in told.items() if value is not None}
            requests.changed(db, request, body, change.draft.amount, change.draft.currency or request.currency)


def as_json(change: Change) -> dict[str, Any]:
    """The change as the command line and scripts see it; the keys are stable, amounts are texts in major units.

    `other_half` is the same of what is done with it, or None.
    """
    return _alone_as_json(change) | {"other_half": _alone_as_json(change.other) if change.other else None}


def _alone_as_json(change: Change) -> dict[str, Any]:
    return {
        "action": change.action,
        "kind": change.kind,
        "id": change.id,
        "title": change.title,
        "fields": _readable(change.fields),
        "before": _readable(change.before),
        "objections": [{"code": one.code, "text": one.text} for one in change.objections],
        "remarks": list(change.remarks),
    }
