"""Compound aggregations: their five operations, and what stays refused."""

from typing import Any

import pytest
from m3ter import BadRequestError, M3ter, NotFoundError

from connector.sandbox import Sandbox


def test_compound_aggregations_are_created_listed_changed_and_deleted(m3ter_sdk: M3ter, metered: dict[str, str]):
    wanted: dict[str, Any] = {
        "name": "Calls a seat", "code": "ratio", "calculation": "calls / 2", "unit": "calls", "quantity_per_unit": 1,
        "rounding": "NONE",
    }  # fmt: skip
    made = m3ter_sdk.compound_aggregations.create(**wanted, product_id=metered["product"])
    whole = m3ter_sdk.compound_aggregations.create(**wanted | {"code": "whole"})
    assert [one.id for one in m3ter_sdk.compound_aggregations.list()] == [whole.id, made.id]
    assert [one.id for one in m3ter_sdk.compound_aggregations.list(codes=["ratio"])] == [made.id]
    assert [one.id for one in m3ter_sdk.compound_aggregations.list(product_id=[metered["product"]])] == [made.id]
    assert [one.code for one in m3ter_sdk.aggregations.list()] == ["calls"]
    changed = m3ter_sdk.compound_aggregations.update(made.id, **wanted | {"name": "Calls by seat"}, version=1)
    assert (changed.name, changed.version) == ("Calls by seat", 2)
    assert m3ter_sdk.compound_aggregations.retrieve(made.id).name == "Calls by seat"
    m3ter_sdk.compound_aggregations.delete(made.id)
    with pytest.raises(NotFoundError):
        m3ter_sdk.compound_aggregations.retrieve(made.id)


@pytest.mark.parametrize(
    "change", [{"calculation": None}, {"code": "a-b"}, {"code": "taken"}, {"quantity_per_unit": 0}]
)
def test_a_compound_aggregation_is_refused(change: dict[str, Any], box: Sandbox, m3ter_sdk: M3ter):
    box.m3ter.create_compound_aggregation("calls / 2", "taken")
    wanted: dict[str, Any] = {
        "name": "Ratio", "calculation": "calls / 2", "unit": "calls", "quantity_per_unit": 1, "rounding": "NONE",
    }  # fmt: skip
    with pytest.raises(BadRequestError):
        m3ter_sdk.compound_aggregations.create(**wanted | change)
    assert len(box.m3ter.compound_aggregations) == 1


def test_the_sandbox_prices_no_compound_aggregation(box: Sandbox, m3ter_sdk: M3ter, metered: dict[str, str]):
    ratio = box.m3ter.create_compound_aggregation("calls / 2", "ratio")["id"]
    with pytest.raises(BadRequestError, match="no pricings of a compoundAggregationId"):
        m3ter_sdk.pricings.create(
            plan_id=metered["plan"], compound_aggregation_id=ratio, start_date="2026-01-01T00:00:00Z",
            pricing_bands=[{"lower_limit": 0, "fixed_price": 0, "unit_price": 1}],
        )  # fmt: skip
