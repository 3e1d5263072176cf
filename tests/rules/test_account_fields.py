"""A customer's fields become an account's fields that m3ter takes, whatever the customer wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.customers import account_fields
from connector.errors import Parked
from tests.builders import customer

# m3ter.md §3: the longest texts that m3ter takes; lines three and four of an address have no limit.
LIMITS = {"addressLine1": 50, "addressLine2": 50, "locality": 100, "region": 50, "postCode": 20, "country": 100}


def test_a_customer_with_everything_fills_the_account():
    address = {
        "line1": "1 High St", "line2": "Floor 2", "line3": "Door 3", "city": "London", "state": "Greater London",
        "zip": "N1 1AA", "country": "GB", "phone": "+44", "first_name": "Ada",
    }  # fmt: skip
    assert account_fields(customer(billing_address=address), None) == {
        "name": "Acme",
        "emailAddress": "ap@acme.test",
        "currency": "USD",
        "address": {
            "addressLine1": "1 High St", "addressLine2": "Floor 2", "addressLine3": "Door 3", "locality": "London",
            "region": "Greater London", "postCode": "N1 1AA", "country": "GB",
        },
    }  # fmt: skip


def test_what_the_customer_does_not_say_is_left_out():
    bare = customer(first_name=None, last_name=None, company=None, preferred_currency_code=None)
    assert account_fields(bare, None) == {"name": "ap@acme.test", "emailAddress": "ap@acme.test"}


@pytest.mark.parametrize(
    ("difference", "name"),
    [
        pytest.param({}, "Acme", id="the company first"),
        pytest.param({"company": None}, "Ada Lovelace", id="else the person"),
        pytest.param({"company": ""}, "Ada Lovelace", id="an empty company is none"),
        pytest.param({"company": None, "first_name": None}, "Lovelace", id="a last name alone"),
        pytest.param({"company": None, "last_name": ""}, "Ada", id="a first name alone"),
        pytest.param(
            {"company": None, "first_name": "", "last_name": None}, "ap@acme.test", id="else the e-mail address"
        ),
        pytest.param(
            {
                "company": None,
                "first_name": None,
                "last_name": None,
                "email": None,
                "billing_address": {"email": "b@acme.test"},
            },
            "cust_1",
            id="else the customer's id",
        ),
        pytest.param({"company": "A" * 250}, "A" * 200, id="cut to what m3ter takes"),
    ],
)
def test_the_account_is_named_after(difference, name):
    assert account_fields(customer(**difference), None)["name"] == name


@pytest.mark.parametrize(
    ("email", "of_the_address", "fallback", "expected"),
    [
        pytest.param("a@x.test", "b@x.test", "c@x.test", "a@x.test", id="the customer's own"),
        pytest.param(None, "b@x.test", "c@x.test", "b@x.test", id="else the billing address's"),
        pytest.param("", "b@x.test", "c@x.test", "b@x.test", id="an empty one is none"),
        pytest.param(None, None, "c@x.test", "c@x.test", id="else the fallback"),
    ],
)
def test_the_e_mail_address_is(email, of_the_address, fallback, expected):
    address = {"email": of_the_address} if of_the_address else {}
    assert account_fields(customer(email=email, billing_address=address), fallback)["emailAddress"] == expected


@pytest.mark.parametrize("fallback", [None, ""])
def test_a_customer_without_any_e_mail_address_parks_by_its_id(fallback):
    with pytest.raises(Parked, match="cust_1") as parked:
        account_fields(customer(email=None), fallback)
    assert parked.value.cause.code == "no_email"
    assert "M3TER_FALLBACK_EMAIL" in parked.value.cause.next_step


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["short"], ["short"], id="one line"),
        pytest.param(["", "second", ""], ["second"], id="empty lines take no room"),
        pytest.param(["a" * 50], ["a" * 50], id="just fits"),
        pytest.param(["a" * 51], ["a" * 50, "a"], id="what does not fit goes to the next line"),
        pytest.param(["a" * 150, "b"], ["a" * 50] * 3 + ["b"], id="a long first line pushes the second down"),
        pytest.param(
            ["a" * 60, "b" * 60, "c"],
            ["a" * 50, "a" * 10, "b" * 50, "b" * 10 + " c"],
            id="the last line takes all that is left",
        ),
    ],
)
def test_long_address_lines_are_spread_over_m3ters_four(lines, expected):
    address = {f"line{number}": line for number, line in enumerate(lines, start=1)}
    shaped = account_fields(customer(billing_address=address), None)["address"]
    assert list(shaped.values()) == expected
    assert list(shaped) == [f"addressLine{number}" for number in range(1, len(expected) + 1)]


texts = st.text(max_size=160)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("line1", "line2", "line3", "city", "state", "zip", "country"), texts)
    ),
    texts,
    st.text(min_size=1, max_size=100),
)
def test_any_customer_fits_into_an_account(address, company, customer_id):
    fields = account_fields(customer(id=customer_id, company=company, billing_address=address), None)
    assert 1 <= len(fields["name"]) <= 200
    shaped = fields.get("address", {})
    assert all(1 <= len(shaped[name]) <= limit for name, limit in LIMITS.items() if name in shaped)
    written = "".join(shaped.get(f"addressLine{number}", "") for number in range(1, 5))
    sold_to = "".join(address.get(name, "") for name in ("line1", "line2", "line3"))
    assert written.replace(" ", "") == sold_to.replace(" ", "")
