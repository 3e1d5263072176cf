"""m3ter's Balance Billing: balances, what moves them, what is charged for them, and the jobs that bill it (m3ter.md §12).

What is created takes its fields in m3ter's own names, since whoever calls keeps them as they were sent: amounts as `int`
or `Decimal`, which arrive digit by digit, times and days as texts. They are checked there; m3ter's own checks come back
as Rejected. A create with an unknown outcome is Uncertain and is not repeated here. m3ter knows no idempotency key: look
before repeating, for a code (charges, balances, schedules) or for a text in a transaction's description.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, TypeVar

from connector.clients.fields import Fields
from connector.clients.http import after_a_write
from connector.clients.m3ter_api import M3terApi, merged, next_page, page_size, without_none
from connector.clients.m3ter_balance_objects import (
    Balance,
    BalanceSummary,
    BillJob,
    Charge,
    ChargeSchedule,
    Currency,
    OrganizationConfig,
    Preview,
    ScheduledRow,
    Transaction,
    TransactionSchedule,
    TransactionType,
)
from connector.clients.m3ter_objects import Raw
from connector.errors import Rejected

T = TypeVar("T")

TRANSACTION_SCHEDULES = "balancetransactionschedules"
CHARGE_SCHEDULES = "balancechargeschedules"
# m3ter's own limit for one job (m3ter.md §8).
MAX_JOB_ACCOUNTS = 100
# What only a schedule has, and none of the rows that it makes.
OF_A_SCHEDULE = ("frequency", "billFrequency")


class BalanceBilling:
    """Balance Billing of one m3ter organization, as `M3terClient.balance_billing`.

    Part of it has to be switched on by m3ter; where a refusal (AccessRefused, NotFound) may mean that, its text says so.
    Every update reads the object, changes the fields that are named, keeps all others, also custom fields, and sends
    nothing where that is equal; None removes a field.
    """

    def __init__(self, api: M3terApi) -> None:
        self._api = api

    # Balances

    def list_balances(
        self,
        account_id: str | None = None,
        *,
        contract_id: str | None = None,
        end_date_start: date | None = None,
        end_date_end: date | None = None,
    ) -> list[Balance]:
        """The balances (of that account), newest first.

        An empty `contract_id` finds those without a contract. The end, or the rollover's end where there is one, is from
        `end_date_start` on and before `end_date_end`.

        m3ter API: Balance > List Balances
        """
        params = {
            "accountId": account_id,
            "contractId": contract_id,
            "endDateStart": _day(end_date_start),
            "endDateEnd": _day(end_date_end),
        }
        return [Balance.from_json(raw) for raw in self._api.all("balances.list", "balances", params=params)]

    def get_balance(self, balance_id: str) -> Balance:
        """The balance; raises NotFound.

        m3ter API: Balance > Retrieve Balance
        """
        return Balance.from_json(self._api.get("balances.retrieve", "balances", balance_id))

    def create_balance(self, fields: Mapping[str, Any]) -> Balance:
        """The new balance, empty; its code is unique, so a repeat is refused (Rejected).

        m3ter API: Balance > Create Balance
        """
        return self._api.create("balances.create", "balances", json=fields, read=Balance.from_json)

    def update_balance(self, balance_id: str, fields: Mapping[str, Any]) -> Balance:
        """The balance with `fields` changed.

        m3ter API: Balance > Update Balance
        """
        return self._change("balances.update", "balances", balance_id, fields=fields, read=Balance.from_json)

    def delete_balance(self, balance_id: str) -> None:
        """The balance is gone afterwards, also if it was before.

        m3ter API: Balance > Delete Balance
        """
        self._api.delete("balances.delete", "balances", balance_id)

    # What moves them

    def list_transaction_types(self) -> list[TransactionType]:
        """The organization's types of transactions, newest first.

        m3ter API: TransactionType > List TransactionTypes
        """
        rows = self._api.all("transaction_types.list", "picklists", "transactiontypes")
        return [TransactionType.from_json(raw) for raw in rows]

    def create_transaction_type(self, fields: Mapping[str, Any]) -> TransactionType:
        """The new type.

        m3ter API: TransactionType > Create TransactionType
        """
        return self._api.create(
            "transaction_types.create", "picklists", "transactiontypes", json=fields, read=TransactionType.from_json
        )

    def list_transactions(
        self,
        balance_id: str,
        *,
        transaction_type_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
    ) -> Iterator[Transaction]:
        """Every transaction of the balance (of that type, made by that entity), newest first.

        Pages are asked for as they are read.

        m3ter API: Balances > List Balance Transactions
        """
        params = {"transactionTypeId": transaction_type_id, "entityType": entity_type, "entityId": entity_id}
        rows = self._api.all("balances.transactions.list", "balances", balance_id, "transactions", params=params)
        return map(Transaction.from_json, rows)

    def create_transaction(self, balance_id: str, fields: Mapping[str, Any]) -> Transaction:
        """The new transaction: for good, and not recognised by m3ter when it is sent again.

        m3ter API: Balances > Create Balance Transaction
        """
        return self._api.create(
            "balances.transactions.create",
            "balances",
            balance_id,
            "transactions",
            json=fields,
            read=Transaction.from_json,
        )

    def transaction_summary(self, balance_id: str) -> BalanceSummary:
        """What came into the balance and went out of it.

        m3ter API: Balances > Retrieve Balance Transactions Summary
        """
        raw = self._api.get("balances.transactions.summary", "balances", balance_id, "transactions", "summary")
        return BalanceSummary.from_json(raw)

    def list_transaction_schedules(self, balance_id: str) -> list[TransactionSchedule]:
        """The balance's transaction schedules, newest first, also those that have ended.

        m3ter API: BalanceTransactionSchedules > List BalanceTransactionSchedules
        """
        rows = self._api.all("balances.transaction_schedules.list", "balances", balance_id, TRANSACTION_SCHEDULES)
        return [TransactionSchedule.from_json(raw) for raw in rows]

    def get_transaction_schedule(self, balance_id: str, schedule_id: str) -> TransactionSchedule:
        """The schedule; raises NotFound.

        m3ter API: BalanceTransactionSchedules > Retrieve BalanceTransactionSchedule
        """
        raw = self._api.get(
            "balances.transaction_schedules.retrieve", "balances", balance_id, TRANSACTION_SCHEDULES, schedule_id
        )
        return TransactionSchedule.from_json(raw)

    def create_transaction_schedule(self, balance_id: str, fields: Mapping[str, Any]) -> TransactionSchedule:
        """The new schedule; its code is unique, so a repeat is refused (Rejected).

        m3ter API: BalanceTransactionSchedules > Create BalanceTransactionSchedule
        """
        return self._api.create(
            "balances.transaction_schedules.create",
            "balances",
            balance_id,
            TRANSACTION_SCHEDULES,
            json=fields,
            read=TransactionSchedule.from_json,
        )

    def update_transaction_schedule(
        self, balance_id: str, schedule_id: str, fields: Mapping[str, Any]
    ) -> TransactionSchedule:
        """The schedule with `fields` changed; what it has made stays as it is.

        m3ter API: BalanceTransactionSchedules > Update BalanceTransactionSchedule
        """
        return self._change(
            "balances.transaction_schedules.update",
            "balances",
            balance_id,
            TRANSACTION_SCHEDULES,
            schedule_id,
            fields=fields,
            read=TransactionSchedule.from_json,
        )

    def delete_transaction_schedule(self, balance_id: str, schedule_id: str) -> None:
        """The schedule is gone afterwards, also if it was before; what it has made stays.

        m3ter API: BalanceTransactionSchedules > Delete BalanceTransactionSchedule
        """
        self._api.delete(
            "balances.transaction_schedules.delete", "balances", balance_id, TRANSACTION_SCHEDULES, schedule_id
        )

    def preview_transaction_schedule(self, balance_id: str, fields: Mapping[str, Any], *, limit: int) -> Preview:
        """The first transactions, at most `limit` (1 or more), that a schedule of these fields would make.

        Nothing is kept of it, but m3ter checks the fields as if it were, and wants a name and a code.

        m3ter API: BalanceTransactionSchedules > Preview BalanceTransactionSchedule
        """
        return self._preview(
            "balances.transaction_schedules.preview", balance_id, TRANSACTION_SCHEDULES, fields=fields, limit=limit
        )

    # What is charged for them

    def list_charge_schedules(self, balance_id: str) -> list[ChargeSchedule]:
        """The balance's charge schedules, newest first, also those that have ended.

        m3ter API: BalanceChargeSchedules > List BalanceChargeSchedules
        """
        rows = self._api.all("balances.charge_schedules.list", "balances", balance_id, CHARGE_SCHEDULES)
        return [ChargeSchedule.from_json(raw) for raw in rows]

    def get_charge_schedule(self, balance_id: str, schedule_id: str) -> ChargeSchedule:
        """The schedule; raises NotFound.

        m3ter API: BalanceChargeSchedules > Retrieve BalanceChargeSchedule
        """
        raw = self._api.get("balances.charge_schedules.retrieve", "balances", balance_id, CHARGE_SCHEDULES, schedule_id)
        return ChargeSchedule.from_json(raw)

    def create_charge_schedule(self, balance_id: str, fields: Mapping[str, Any]) -> ChargeSchedule:
        """The new schedule; its code is unique, so a repeat is refused (Rejected).

        m3ter API: BalanceChargeSchedules > Create BalanceChargeSchedule
        """
        return self._api.create(
            "balances.charge_schedules.create",
            "balances",
            balance_id,
            CHARGE_SCHEDULES,
            json=fields,
            read=ChargeSchedule.from_json,
        )

    def update_charge_schedule(self, balance_id: str, schedule_id: str, fields: Mapping[str, Any]) -> ChargeSchedule:
        """The schedule with `fields` changed; what it has made stays as it is.

        m3ter API: BalanceChargeSchedules > Update BalanceChargeSchedule
        """
        return self._change(
            "balances.charge_schedules.update",
            "balances",
            balance_id,
            CHARGE_SCHEDULES,
            schedule_id,
            fields=fields,
            read=ChargeSchedule.from_json,
        )

    def delete_charge_schedule(self, balance_id: str, schedule_id: str) -> None:
        """The schedule is gone afterwards, also if it was before; what it has made stays.

        m3ter API: BalanceChargeSchedules > Delete BalanceChargeSchedule
        """
        self._api.delete("balances.charge_schedules.delete", "balances", balance_id, CHARGE_SCHEDULES, schedule_id)

    def preview_charge_schedule(self, balance_id: str, fields: Mapping[str, Any], *, limit: int) -> Preview:
        """The first charges, at most `limit` (1 or more), that a schedule of these fields would make.

        Nothing is kept of it, but m3ter checks the fields as if it were, and wants a name and a code.

        m3ter API: BalanceChargeSchedules > Preview BalanceChargeSchedule
        """
        return self._preview(
            "balances.charge_schedules.preview", balance_id, CHARGE_SCHEDULES, fields=fields, limit=limit
        )

    def list_charges(
        self,
        *,
        account_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        bill_date: date | None = None,
        schedule_id: str | None = None,
    ) -> Iterator[Charge]:
        """Every charge to which all that is given applies, newest first; pages are asked for as they are read.

        m3ter API: Charge > List Charges
        """
        params = {
            "accountId": account_id,
            "entityType": entity_type,
            "entityId": entity_id,
            "billDate": _day(bill_date),
            "scheduleId": schedule_id,
        }
        return map(Charge.from_json, self._api.all("charges.list", "charges", params=params))

    def get_charge(self, charge_id: str) -> Charge:
        """The charge; raises NotFound.

        m3ter API: Charge > Retrieve Charge
        """
        return Charge.from_json(self._api.get("charges.retrieve", "charges", charge_id))

    def create_charge(self, fields: Mapping[str, Any]) -> Charge:
        """The new charge, which credits nothing; its code is unique, so a repeat is refused (Rejected).

        m3ter API: Charge > Create Charge
        """
        return self._api.create("charges.create", "charges", json=fields, read=Charge.from_json)

    def update_charge(self, charge_id: str, fields: Mapping[str, Any]) -> Charge:
        """The charge with `fields` changed; a bill that has it shows it as it was until it is calculated anew.

        m3ter API: Charge > Update Charge
        """
        return self._change("charges.update", "charges", charge_id, fields=fields, read=Charge.from_json)

    def delete_charge(self, charge_id: str) -> None:
        """The charge is gone afterwards, also if it was before; a bill that has it keeps it until it is calculated anew.

        m3ter API: Charge > Delete Charge
        """
        self._api.delete("charges.delete", "charges", charge_id)

    # How it gets onto bills

    def create_bill_job(self, fields: Mapping[str, Any]) -> BillJob:
        """The new job, which bills `accountIds`, 1 to 100 of them, for `billDate`.

        It calculates anew every bill of that date that is not locked, and makes an approved one PENDING. Without accounts
        that would be every bill of the organization, so it is refused here (Rejected). Retryable while ten jobs are running.

        m3ter API: BillJob > Create BillJob
        """
        accounts = fields.get("accountIds") or ()
        if not 1 <= len(accounts) <= MAX_JOB_ACCOUNTS:
            raise Rejected(f"a bill job needs the ids of 1 to {MAX_JOB_ACCOUNTS} accounts, not {len(accounts)}")
        return self._api.create("bill_jobs.create", "billjobs", json=fields, read=BillJob.from_json)

    def get_bill_job(self, job_id: str) -> BillJob:
        """The job; raises NotFound.

        m3ter API: BillJob > Retrieve BillJob
        """
        return BillJob.from_json(self._api.get("bill_jobs.retrieve", "billjobs", job_id))

    def list_bill_jobs(self, *, status: str | None = None, active: bool = False) -> Iterator[BillJob]:
        """Every job (of that status, still `active`), newest first; pages are asked for as they are read.

        m3ter API: BillJob > List BillJobs
        """
        params = {"status": status, "active": "TRUE" if active else None}
        return map(BillJob.from_json, self._api.all("bill_jobs.list", "billjobs", params=params))

    def cancel_bill_job(self, job_id: str) -> BillJob:
        """The job, CANCELLED unless it had come to its end.

        m3ter API: BillJob > Cancel BillJob
        """
        answer = self._api.write("bill_jobs.cancel", "POST", "billjobs", job_id, "cancel")
        with after_a_write():
            return BillJob.from_json(answer.json())

    # What it is billed in

    def organization_config(self) -> OrganizationConfig:
        """The organization's currency, rates, time zone and epochs.

        m3ter API: OrganizationConfig > Retrieve OrganizationConfig
        """
        return OrganizationConfig.from_json(self._api.get("organization_config.retrieve", "organizationconfig"))

    def list_currencies(self) -> list[Currency]:
        """The organization's currencies, newest first; whether m3ter lists archived ones too is not documented.

        m3ter API: Currency > List Currencies
        """
        return [Currency.from_json(raw) for raw in self._api.all("currencies.list", "picklists", "currency")]

    def _change(self, operation: str, *segments: str, fields: Mapping[str, Any], read: Callable[[object], T]) -> T:
        return self._api.update(operation, *segments, change=lambda kept: merged(kept, fields), read=read)

    def _preview(
        self, operation: str, balance_id: str, collection: str, *, fields: Mapping[str, Any], limit: int
    ) -> Preview:
        """The rows of as many pages as it takes, or of the one object that m3ter's schema promises (m3ter.md §12.6)."""
        body = without_none(fields)
        query: Raw = {"pageSize": min(limit, page_size(operation))}
        rows: list[ScheduledRow] = []
        while True:
            answer = self._api.call(
                operation, "POST", "balances", balance_id, collection, "preview", params=query, json=body
            )
            page = Fields(f"m3ter answer to {operation}", answer.json())
            if not page.has("data"):
                return _single(page)
            rows.extend(page.each("data", ScheduledRow.from_json))
            following = next_page(operation, page, query)
            if following is None or len(rows) >= limit:
                return Preview(rows=tuple(rows[:limit]), more=following is not None or len(rows) > limit)
            query["nextToken"] = following


def _single(answer: Fields) -> Preview:
    """One row alone, or the schedule itself, which shows no row at all."""
    raw = answer.all()
    is_row = raw and not any(answer.has(name) for name in OF_A_SCHEDULE)
    return Preview(rows=(ScheduledRow.from_json(raw),) if is_row else (), more=None)


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
