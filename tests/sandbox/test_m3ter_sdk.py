"""m3ter's official SDK, checking every answer against m3ter's published types, cannot tell the sandbox from m3ter."""

from urllib.parse import quote

import httpx
import m3ter
import pytest
from m3ter import M3ter

from connector.sandbox import Sandbox

JAN, FEB, MAR = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"


def test_accounts_are_created_replaced_read_listed_and_deleted(m3ter_sdk: M3ter):
    address = {"address_line1": "1 High St", "post_code": "N1 1AA"}
    created = m3ter_sdk.accounts.create(
        name="Acme",
        code="acme",
        email_address="ap@acme.test",
        currency="EUR",
        address=address,
        custom_fields={"tier": "gold"},
    )
    assert (created.version, created.code, len(created.id)) == (1, "acme", 36)
    changed = m3ter_sdk.accounts.update(
        created.id, name="Acme Ltd", code="acme", email_address="ap@acme.test", version=1
    )
    assert (changed.version, changed.name, changed.address, changed.custom_fields) == (2, "Acme Ltd", None, None)
    assert m3ter_sdk.accounts.retrieve(created.id) == changed
    assert [account.id for account in m3ter_sdk.accounts.list(codes=["acme", "nobody"])] == [created.id]
    assert [account.id for account in m3ter_sdk.accounts.list(ids=[created.id])] == [created.id]
    m3ter_sdk.accounts.delete(created.id)
    with pytest.raises(m3ter.NotFoundError):
        m3ter_sdk.accounts.retrieve(created.id)


def test_a_list_is_read_page_by_page_newest_first(box: Sandbox, m3ter_sdk: M3ter):
    for number in range(5):
        box.m3ter.create_account(f"a{number}")
    assert [account.code for account in m3ter_sdk.accounts.list(page_size=2)] == ["a4", "a3", "a2", "a1", "a0"]


def test_a_catalogue_is_created_and_listed(m3ter_sdk: M3ter):
    product = m3ter_sdk.products.create(name="API", code="api")
    meter = m3ter_sdk.meters.create(
        name="Calls",
        code="api_calls",
        product_id=product.id,
        data_fields=[{"category": "MEASURE", "code": "calls", "name": "Calls"}],
        derived_fields=[],
    )
    aggregation = m3ter_sdk.aggregations.create(
        name="Calls",
        code="calls",
        meter_id=meter.id,
        target_field="calls",
        aggregation="SUM",
        rounding="UP",
        quantity_per_unit=100,
        unit="hundred",
    )
    template = m3ter_sdk.plan_templates.create(
        name="Monthly",
        product_id=product.id,
        currency="USD",
        standing_charge=10,
        bill_frequency="MONTHLY",
        code="monthly",
    )
    plan = m3ter_sdk.plans.create(name="Pro", code="pro", plan_template_id=template.id)
    assert plan.product_id == product.id
    bands = [{"lower_limit": 0, "fixed_price": 0, "unit_price": 0.25}]
    pricing = m3ter_sdk.pricings.create(
        plan_id=plan.id, aggregation_id=aggregation.id, start_date=JAN, pricing_bands=bands, cumulative=True
    )
    assert pricing.pricing_bands is not None
    assert pricing.pricing_bands[0].unit_price == 0.25
    assert m3ter_sdk.products.retrieve(product.id) == product
    assert [found.id for found in m3ter_sdk.products.list()] == [product.id]
    assert [found.id for found in m3ter_sdk.meters.list(codes=["api_calls"])] == [meter.id]
    assert [found.id for found in m3ter_sdk.aggregations.list()] == [aggregation.id]
    assert [found.id for found in m3ter_sdk.plan_templates.list(product_id=product.id)] == [template.id]
    assert [found.id for found in m3ter_sdk.plans.list(product_id=[product.id])] == [plan.id]
    assert [found.id for found in m3ter_sdk.pricings.list(plan_id=plan.id)] == [pricing.id]
    renamed = m3ter_sdk.plans.update(plan.id, name="Pro 2", code="pro", plan_template_id=template.id, version=1)
    assert (renamed.version, renamed.product_id) == (2, product.id)
    m3ter_sdk.pricings.delete(pricing.id)
    assert m3ter_sdk.pricings.list().data == []


def test_account_plans_are_attached_ended_listed_and_replaced(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    first = m3ter_sdk.account_plans.retrieve(metered["account_plan"])
    assert first.product_id == metered["product"]
    replaced = m3ter_sdk.post(
        f"/organizations/{box.m3ter.org_id}/accountplans/{first.id}/replace",
        cast_to=httpx.Response,
        body={"accountId": metered["account"], "planId": metered["other_plan"], "startDate": FEB, "code": "second"},
    ).json()
    assert (replaced["originalAccountPlan"]["endDate"], replaced["originalAccountPlan"]["version"]) == (FEB, 2)
    second = m3ter_sdk.account_plans.retrieve(replaced["newAccountPlan"]["id"])
    active = m3ter_sdk.account_plans.list(account=metered["account"])
    assert [plan.id for plan in active] == [first.id]
    both = m3ter_sdk.account_plans.list(account=metered["account"], includeall=True)
    assert [plan.id for plan in both] == [second.id, first.id]
    ended = m3ter_sdk.account_plans.update(
        second.id,
        account_id=metered["account"],
        plan_id=metered["other_plan"],
        code="second",
        start_date=FEB,
        end_date=MAR,
        version=1,
    )
    assert (ended.version, str(ended.end_date)) == (2, "2026-03-01 00:00:00+00:00")
    third = m3ter_sdk.account_plans.create(
        account_id=metered["account"], plan_id=metered["plan"], start_date=MAR, code="third"
    )
    assert [plan.id for plan in m3ter_sdk.account_plans.list(ids=[third.id])] == [third.id]
    m3ter_sdk.account_plans.delete(third.id)
    assert len(m3ter_sdk.account_plans.list(account=metered["account"], includeall=True).data) == 2


def test_external_mappings_are_found_from_both_sides(metered: dict[str, str], m3ter_sdk: M3ter, box: Sandbox):
    external_id = "sub/1 - pro-USD?#%"
    mapping = m3ter_sdk.external_mappings.create(
        m3ter_entity="AccountPlan",
        m3ter_id=metered["account_plan"],
        external_system="Chargebee",
        external_table="Subscription",
        external_id=external_id,
    )
    of_entity = m3ter_sdk.external_mappings.list_by_m3ter_entity(metered["account_plan"], entity="AccountPlan")
    of_external = m3ter_sdk.external_mappings.list_by_external_entity(
        quote(external_id, safe=""), system="Chargebee", external_table="Subscription"
    )
    listed = m3ter_sdk.external_mappings.list(
        external_system_id="Chargebee", m3ter_ids=[metered["account_plan"]], page_size=200
    )
    assert of_entity.data[0].to_dict() == of_external.data[0].to_dict() == listed.data[0].to_dict() == mapping.to_dict()
    twin = m3ter_sdk.external_mappings.create(**{**_strings(mapping), "external_id": external_id})
    assert [found.id for found in m3ter_sdk.external_mappings.list()] == [twin.id, mapping.id]
    changed = m3ter_sdk.external_mappings.update(twin.id, **{**_strings(mapping), "external_id": "other"}, version=1)
    assert (changed.external_id, changed.version) == ("other", 2)
    m3ter_sdk.external_mappings.delete(twin.id)
    assert m3ter_sdk.external_mappings.retrieve(mapping.id).id == mapping.id
    path = f"/organizations/{box.m3ter.org_id}/externalmappingconfiguration"
    allowed = m3ter_sdk.get(path, cast_to=httpx.Response).json()
    assert "AccountPlan" in allowed["m3terEntities"]
    assert allowed["externalSystems"][0]["name"] == "Chargebee"


def _strings(mapping: m3ter.types.ExternalMappingResponse) -> dict[str, str]:
    names = ("m3ter_entity", "m3ter_id", "external_system", "external_table", "external_id")
    return {name: getattr(mapping, name) for name in names}


def test_usage_becomes_a_bill_that_is_approved_and_locked(metered: dict[str, str], m3ter_sdk: M3ter):
    usage = {
        "uid": "u1",
        "meter": "api_calls",
        "account": "acme",
        "ts": "2026-01-10T12:00:00Z",
        "measure": {"calls": 250},
    }
    assert m3ter_sdk.usage.submit(measurements=[usage]).result == "accepted"
    job = m3ter_sdk.bill_jobs.create(account_ids=[metered["account"]], bill_date="2026-02-01")
    done = m3ter_sdk.bill_jobs.retrieve(job.id)
    assert (job.status, done.status, done.type, len(done.bill_ids or [])) == ("PENDING", "COMPLETE", "CREATE", 1)
    assert [found.id for found in m3ter_sdk.bill_jobs.list(status="COMPLETE")] == [job.id]
    [bill] = m3ter_sdk.bills.list(status="PENDING", include_bill_total=True, account_id=metered["account"])
    assert (bill.bill_total, bill.currency, str(bill.start_date), str(bill.end_date)) == (
        2.5,
        "USD",
        "2026-01-01",
        "2026-02-01",
    )
    assert bill.line_items is not None
    [line] = bill.line_items
    assert (line.line_item_type, line.subtotal, line.units, line.unit) == ("USAGE", 2.5, 250, "calls")
    assert (line.plan_id, line.pricing_id, line.aggregation_id) == (
        metered["plan"],
        metered["pricing"],
        metered["aggregation"],
    )
    assert m3ter_sdk.bills.approve(bill_ids=[bill.id]).message
    [row] = m3ter_sdk.bills.list(
        status="APPROVED", exclude_line_items=True, bill_date_start="2026-02-01", bill_date_end="2026-02-02"
    )
    assert (row.id, row.bill_total, row.line_items) == (bill.id, None, None)
    assert m3ter_sdk.bills.update_status(bill.id, status="PENDING").status == "PENDING"
    assert m3ter_sdk.bills.update_status(bill.id, status="APPROVED").status == "APPROVED"
    [listed] = m3ter_sdk.bills.line_items.list(bill.id)
    assert listed.band_usage is not None
    assert (listed.bill_id, listed.subtotal, listed.band_usage[0].band_subtotal) == (bill.id, 2.5, 2.5)
    assert m3ter_sdk.bills.line_items.retrieve(listed.id, bill_id=bill.id) == listed
    assert m3ter_sdk.bills.latest_by_account(metered["account"]).id == bill.id
    assert m3ter_sdk.bill_jobs.recalculate(bill_ids=[bill.id]).type == "RECALCULATE"
    again = m3ter_sdk.bills.retrieve(bill.id)
    assert again.status == "PENDING"
    m3ter_sdk.bills.approve(bill_ids=[bill.id])
    assert m3ter_sdk.bills.lock(bill.id).locked is True
    assert m3ter_sdk.bill_jobs.cancel(job.id).status == "COMPLETE"


def test_the_sdk_asks_three_times_for_an_eleventh_bill_job(
    box: Sandbox, m3ter_sdk: M3ter, monkeypatch: pytest.MonkeyPatch
):
    """As counted in m3ter.md §8: two retries, then an error."""
    monkeypatch.setattr("m3ter._base_client.INITIAL_RETRY_DELAY", 0)
    box.m3ter.settings.bill_job_seconds = 60
    for _ in range(10):
        m3ter_sdk.bill_jobs.create(bill_date="2026-02-01")
    with pytest.raises(m3ter.RateLimitError):
        m3ter_sdk.with_options(max_retries=2).bill_jobs.create(bill_date="2026-02-01")
    answers = [call.status for call in box.calls if call.operation == "create_bill_job"]
    assert answers == [200] * 10 + [429] * 3


def test_a_bill_can_be_deleted(box: Sandbox, metered: dict[str, str], m3ter_sdk: M3ter):
    [bill_id] = box.m3ter.run_bill_job([metered["account"]], "2026-02-01")["billIds"]
    m3ter_sdk.bills.delete(bill_id)
    with pytest.raises(m3ter.NotFoundError):
        m3ter_sdk.bills.retrieve(bill_id)


def test_notifications_and_webhook_destinations_are_set_up(m3ter_sdk: M3ter):
    notification = m3ter_sdk.notification_configurations.create(
        name="Approved", code="approved", description="A bill was approved", event_name="billing.bill.updated"
    )
    assert [found.id for found in m3ter_sdk.notification_configurations.list(event_name="billing.bill.updated")] == [
        notification.id
    ]
    credentials = {"type": "M3TER_SIGNED_REQUEST", "api_key": "k", "secret": "s"}
    webhook = m3ter_sdk.webhooks.create(
        name="Connector", description="x", url="https://x.test/hook", credentials=credentials
    )
    assert webhook.active is True
    assert m3ter_sdk.webhooks.retrieve(webhook.id) == webhook
    m3ter_sdk.webhooks.set_active(webhook.id, active=False)
    assert [(found.id, found.active) for found in m3ter_sdk.webhooks.list()] == [(webhook.id, False)]
    m3ter_sdk.webhooks.delete(webhook.id)
    assert m3ter_sdk.webhooks.list().data == []


def test_the_organization_tells_its_configuration_and_currencies(m3ter_sdk: M3ter):
    """With the defaults of m3ter.md §13."""
    config = m3ter_sdk.organization_config.retrieve()
    assert (config.currency, config.timezone, config.version) == ("USD", "UTC", 1)
    assert [str(day) for day in (config.day_epoch, config.week_epoch, config.month_epoch, config.year_epoch)] == [
        "2022-01-01",
        "2022-01-04",
        "2022-01-01",
        "2022-01-01",
    ]
    changed = m3ter_sdk.organization_config.update(
        currency="EUR", timezone="Europe/Berlin", days_before_bill_due=30,
        day_epoch="2022-01-01", week_epoch="2022-01-04", month_epoch="2022-01-01", year_epoch="2022-01-01", version=1,
    )  # fmt: skip
    assert (changed.currency, changed.version) == ("EUR", 2)
    created = m3ter_sdk.currencies.create(name="Credits", code="CREDITS", max_decimal_places=0)
    assert created.code in [currency.code for currency in m3ter_sdk.currencies.list(page_size=100)]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(400, m3ter.BadRequestError, id="bad request"),
        pytest.param(429, m3ter.RateLimitError, id="rate limit"),
        pytest.param(500, m3ter.InternalServerError, id="internal error"),
    ],
)
def test_an_ordered_status_is_an_error_of_its_class(
    box: Sandbox, m3ter_sdk: M3ter, status: int, error: type[m3ter.APIStatusError]
):
    box.faults.order("m3ter", "list_accounts", "status", status=status)
    with pytest.raises(error) as caught:
        m3ter_sdk.accounts.list()
    assert caught.value.body == {"message": f"Ordered {status}"}
