"""Settings: read once from environment and file, every fault named at once, secrets never shown."""

from pathlib import Path

import pytest

from connector import settings
from connector.errors import Misconfigured
from connector.settings import Connection, Settings

CANARY = "canary-7f3a"
ORG_ID = "11111111-2222-3333-4444-555555555555"
MINIMAL = {
    "CHARGEBEE_SITE": "acme-test",
    "CHARGEBEE_API_KEY": "cb-key",
    "M3TER_ORG_ID": ORG_ID,
    "M3TER_API_KEY": "m3-key",
    "M3TER_API_SECRET": "m3-secret",
}
OTHER_SITE = f"""
[connections.acme-eu]
chargebee_site = "acme-eu"
chargebee_api_key = "cb-key-eu"
m3ter_org_id = "{ORG_ID}"
m3ter_api_key = "m3-key-eu"
m3ter_api_secret = "m3-secret-eu"
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the settings file of whoever runs it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(toml: str | None = None, **environment: str) -> Settings:
    """The settings of an installation that has what it needs, and this besides."""
    if toml is not None:
        Path("connector.toml").write_text(toml, encoding="utf-8")
        environment["CONNECTOR_CONFIG"] = "connector.toml"
    return settings.load(MINIMAL | environment)


def faults(toml: str | None = None, **environment: str) -> list[str]:
    """What is said to be wrong, one sentence each."""
    with pytest.raises(Misconfigured) as refused:
        load(toml, **environment)
    first, *found = str(refused.value).splitlines()
    assert first == "The settings cannot work:"
    return [one.removeprefix("  - ") for one in found]


def test_five_values_are_enough_and_everything_else_has_a_default():
    loaded = load()
    assert list(loaded.connections) == ["default"]
    assert loaded.connections["default"].chargebee_api_key.get_secret_value() == "cb-key"
    assert loaded.database_url == "sqlite:///var/connector.db"
    assert loaded.redis_url is None


def test_nothing_can_be_changed_afterwards():
    loaded = load()
    with pytest.raises(ValueError, match="frozen"):
        loaded.web_port = 1
    with pytest.raises(ValueError, match="frozen"):
        loaded.connections["default"].chargebee_site = "other"


def test_without_a_connection_the_five_names_are_said():
    with pytest.raises(Misconfigured, match="no connection is configured") as refused:
        settings.load({})
    assert all(name in str(refused.value) for name in MINIMAL)


def test_commands_that_reach_no_provider_need_no_connection():
    assert settings.load({}, needs_connection=False).connections == {}


def test_every_fault_is_said_at_once():
    found = faults(
        WEB_PORT="eighty",
        LOG_LEVEL="loud",
        LEASE_SECONDS="100",
        M3TER_ORG_ID="acme",
        CHARGEBEE_WEBHOOK_USERNAME="chargebee",
        CHARGEBEE_API_URL="http://chargebee.example",
        DATABASE_URL="mysql://localhost/connector",
        REDIS_URL="localhost:6379",
    )
    named = {fault.partition(":")[0].split()[0].rstrip(",") for fault in found}
    assert named == {
        "WEB_PORT", "LOG_LEVEL", "M3TER_ORG_ID", "CHARGEBEE_WEBHOOK_USERNAME", "CHARGEBEE_API_URL", "DATABASE_URL",
        "REDIS_URL", "these",
    }  # fmt: skip


@pytest.mark.parametrize("left_out", MINIMAL)
def test_a_value_that_is_missing_is_named(left_out: str):
    with pytest.raises(Misconfigured, match=f"- {left_out}: is missing"):
        settings.load({name: value for name, value in MINIMAL.items() if name != left_out})


def test_an_empty_variable_counts_as_not_set():
    assert load(WEB_PORT="", REDIS_URL="", CHARGEBEE_WEBHOOK_USERNAME="", M3TER_WEBHOOK_SECRET_FILE="") == load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("WEB_PORT", "0", id="no port"),
        pytest.param("WEB_PORT", "65536", id="port too high"),
        pytest.param("WEB_PROCESSES", "0", id="no processes"),
        pytest.param("MAX_BODY_BYTES", "10", id="no event is that small"),
        pytest.param("SWEEP_SECONDS", "0", id="a sweep without pause"),
        pytest.param("BILL_POLL_SECONDS", "0.5", id="half a second"),
        pytest.param("LOG_FORMAT", "xml", id="unknown format"),
        pytest.param("MAX_BILL_LINES", "0", id="bills of no lines"),
        pytest.param("MAX_INVOICE_LINES", "0", id="invoices of no lines"),
        pytest.param("AUTO_CLOSE_DAYS", "51", id="a wait that no site can have"),
        pytest.param("AUTO_CLOSE_DAYS", "0", id="invoices that are closed at once"),
        pytest.param("CHARGEBEE_CALLS_PER_MINUTE", "0", id="no calls at all"),
        pytest.param("CHARGEBEE_SITE", "acme.chargebee.com", id="a host instead of a site"),
        pytest.param("CHARGEBEE_SITE", "acme/../x", id="a path instead of a site"),
        pytest.param("M3TER_ORG_ID", "1234", id="short organisation id"),
        pytest.param("M3TER_FALLBACK_EMAIL", "nobody", id="no e-mail address"),
        pytest.param("PUSH_BILLS_FROM", "soon", id="no day"),
        pytest.param("CURRENCY_EXPONENTS", "CLP", id="currency without decimals"),
        pytest.param("CURRENCY_EXPONENTS", "CLP=x", id="decimals that are none"),
        pytest.param("CURRENCY_EXPONENTS", "CLP=3", id="three decimals, which Chargebee never has"),
        pytest.param("DATABASE_URL", "postgresql://localhost/connector", id="a driver that is not installed"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(name: str, value: str):
    [fault] = faults(**{name: value})
    assert fault.startswith(f"{name}: ")


def test_unknown_signature_scheme_is_refused():
    [fault] = faults(M3TER_WEBHOOK_SECRET="x", M3TER_WEBHOOK_SIGNATURE_HEADER="x", M3TER_WEBHOOK_SIGNATURE_SCHEME="md5")
    assert fault.startswith("M3TER_WEBHOOK_SIGNATURE_SCHEME: ")


def test_currency_exponents_are_read_as_pairs():
    assert load(CURRENCY_EXPONENTS="CLP=0, UGX=2").connections["default"].currency_exponents == {"CLP": 0, "UGX": 2}


TIMES = [name.upper() for name in settings.RISING_TIMES]


@pytest.mark.parametrize(
    "times",
    [
        pytest.param({"HTTP_TIMEOUT_SECONDS": "120"}, id="a call may outlast the settle wait"),
        pytest.param({"SETTLE_WAIT_SECONDS": "300"}, id="settling takes a whole job"),
        pytest.param({"JOB_DEADLINE_SECONDS": "600"}, id="a job may send after its lease"),
        pytest.param({"LEASE_SECONDS": "1800"}, id="the lease outlasts Chargebee's memory of a key"),
        pytest.param({"KEY_WINDOW_SECONDS": "600"}, id="the key is forgotten while the lease is held"),
        pytest.param(dict(zip(TIMES, ["50", "40", "30", "20", "10"], strict=True)), id="all the wrong way round"),
    ],
)
def test_times_that_make_the_money_protocol_unsafe_are_refused(times: dict[str, str]):
    [fault] = faults(**times)
    assert fault.startswith("these must rise in this order: HTTP_TIMEOUT_SECONDS (")
    assert [name for name in TIMES if name in fault] == TIMES


def test_times_that_rise_are_taken():
    loaded = load(**dict(zip(TIMES, ["1", "2", "3", "8", "9"], strict=True)))
    assert [getattr(loaded, name.lower()) for name in TIMES] == [1, 2, 3, 8, 9]


def test_lease_that_ends_before_the_last_tries_of_a_job_is_refused():
    [fault] = faults(LEASE_SECONDS="420")
    assert fault.startswith("LEASE_SECONDS must be more than JOB_DEADLINE_SECONDS")


@pytest.mark.parametrize(
    ("given", "label"),
    [
        pytest.param("CHARGEBEE_WEBHOOK_USERNAME", "CHARGEBEE_WEBHOOK", id="no password"),
        pytest.param("CHARGEBEE_WEBHOOK_PASSWORD", "CHARGEBEE_WEBHOOK", id="no user name"),
        pytest.param("CHARGEBEE_WEBHOOK_PREVIOUS_PASSWORD", "CHARGEBEE_WEBHOOK_PREVIOUS", id="old one, no user name"),
    ],
)
def test_half_a_login_is_refused(given: str, label: str):
    assert faults(**{given: "x"}) == [f"{label}_USERNAME, {label}_PASSWORD go together: set all of them or none"]


def test_half_of_what_checks_a_signature_is_refused():
    [fault] = faults(M3TER_WEBHOOK_SECRET="x")
    assert fault.startswith(
        "M3TER_WEBHOOK_SECRET, M3TER_WEBHOOK_SIGNATURE_HEADER, M3TER_WEBHOOK_SIGNATURE_SCHEME go together"
    )


def test_user_name_that_basic_auth_cannot_carry_is_refused():
    [fault] = faults(CHARGEBEE_WEBHOOK_USERNAME="a:b", CHARGEBEE_WEBHOOK_PASSWORD="x")
    assert fault == "CHARGEBEE_WEBHOOK_USERNAME: basic auth cannot carry a colon in a user name"


SIGN_ON = {
    "CONSOLE_URL": "https://console.example.com/console", "CONSOLE_HOSTS": "console.example.com",
    "OIDC_ISSUER": "https://id.example.com/realms/x/", "OIDC_CLIENT_ID": "connector", "OIDC_CLIENT_SECRET": "s",
    "OIDC_ADMINS": "admins, owners,", "OIDC_VIEWERS": "",
}  # fmt: skip


def test_single_sign_on_that_is_whole_is_taken():
    loaded = load(**SIGN_ON)
    assert (loaded.oidc_issuer, loaded.oidc_admins, loaded.oidc_viewers) == (
        "https://id.example.com/realms/x/", ("admins", "owners"), (),
    )  # fmt: skip
    assert "s" not in repr(loaded.oidc_client_secret).replace("SecretStr", "")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        pytest.param({"OIDC_CLIENT_SECRET": ""}, "OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET go together", id="half"),
        pytest.param({"OIDC_ADMINS": ""}, "OIDC_ADMINS, OIDC_OPERATORS, OIDC_VIEWERS: set at least one", id="no role"),
        pytest.param({"CONSOLE_URL": ""}, "CONSOLE_URL is missing", id="no way back"),
        pytest.param({"CONSOLE_HOSTS": ""}, "CONSOLE_URL: its host must be one of CONSOLE_HOSTS", id="a way back to nowhere"),
        pytest.param({"OIDC_SCOPES": "email"}, "OIDC_SCOPES: must hold openid", id="no ID token asked for"),
        pytest.param({"OIDC_ISSUER": "http://id.example.com"}, "OIDC_ISSUER: must start with https", id="no TLS"),
        pytest.param({"OIDC_ISSUER": "https://169.254.169.254"}, "OIDC_ISSUER: must name a host", id="the cloud's own"),
        pytest.param({"CONSOLE_URL": "https://console.example.com/?x"}, "CONSOLE_URL: must be an address", id="a query"),
        pytest.param(dict.fromkeys(("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"), ""),
                     "OIDC_ADMINS: of no use without OIDC_ISSUER", id="roles alone"),
    ],
)  # fmt: skip
def test_single_sign_on_that_cannot_work_is_refused(changed: dict[str, str], fault: str):
    [found] = faults(**(SIGN_ON | changed))
    assert found.startswith(fault)


def test_passwords_are_not_turned_off_where_nothing_else_lets_people_in():
    [found] = faults(OIDC_ONLY="true")
    assert found.startswith("OIDC_ONLY: without OIDC_ISSUER")
    assert load(OIDC_ONLY="false").oidc_only is False


SECRETS = ["chargebee_webhook_username", "chargebee_webhook_password", "m3ter_webhook_secret", "chargebee_api_key"]


@pytest.mark.parametrize("name", SECRETS)
def test_an_empty_secret_in_the_file_is_refused_because_nobody_would_have_to_know_it(name: str):
    assert f"connections.acme-eu.{name}: is empty" in faults(_second_site(**{name: ""}))


def test_two_empty_halves_of_a_login_are_not_a_login():
    toml = _second_site(chargebee_webhook_username="", chargebee_webhook_password="")
    assert [fault.rpartition(".")[2] for fault in faults(toml)] == [
        "chargebee_webhook_username: is empty",
        "chargebee_webhook_password: is empty",
    ]


def _second_site(**values: str) -> str:
    """A TOML file whose one connection has these values instead of its own."""
    lines = [line for line in OTHER_SITE.splitlines() if line.partition(" =")[0] not in values]
    return "\n".join([*lines, *(f'{name} = "{value}"' for name, value in values.items())])


@pytest.mark.parametrize("name", ["CHARGEBEE_API_URL", "CHARGEBEE_APP_URL", "M3TER_API_URL", "M3TER_CONSOLE_URL"])
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://api.example.com", id="no TLS to another host"),
        pytest.param("http://127.0.0.1.example.com", id="a host that begins like this machine"),
        pytest.param("https://user:secret@api.example.com", id="login in the URL"),
        pytest.param("https://api.example.com@evil.example", id="another host behind an @"),
        pytest.param("http://169.254.169.254/latest", id="the cloud's own credentials"),
        pytest.param("https://169.254.169.254/latest", id="the cloud's own credentials, over TLS"),
        pytest.param("https://[fe80::1]/", id="link-local IPv6"),
        pytest.param("https://", id="no host"),
        pytest.param("https://[", id="not a URL"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("api.example.com", id="no scheme"),
    ],
)
def test_an_address_that_would_give_the_keys_away_is_refused(name: str, url: str):
    [fault] = faults(**{name: url})
    assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize("url", ["https://api.example.com/v2", "http://127.0.0.1:8099/m3ter", "http://[::1]:8099"])
def test_a_safe_address_is_taken(url: str):
    assert load(M3TER_API_URL=url).connections["default"].m3ter_api_url == url


def test_the_file_configures_several_connections_beside_the_one_of_the_environment():
    loaded = load("web_port = 9000\n" + OTHER_SITE)
    assert sorted(loaded.connections) == ["acme-eu", "default"]
    assert loaded.connections["acme-eu"].chargebee_api_key.get_secret_value() == "cb-key-eu"
    assert loaded.web_port == 9000


def test_the_file_alone_is_enough():
    Path("connector.toml").write_text(OTHER_SITE, encoding="utf-8")
    assert list(settings.load({"CONNECTOR_CONFIG": "connector.toml"}).connections) == ["acme-eu"]


def test_the_file_is_found_at_its_usual_place():
    Path("config").mkdir()
    Path("config/connector.toml").write_text(OTHER_SITE, encoding="utf-8")
    assert list(settings.load({}).connections) == ["acme-eu"]


def test_the_environment_wins_over_the_file():
    toml = 'web_port = 9000\nlog_level = "DEBUG"\n[connections.default]\nchargebee_site = "old"\nmax_bill_lines = 7\n'
    loaded = load(toml, WEB_PORT="9001")
    assert (loaded.web_port, loaded.log_level) == (9001, "DEBUG")
    assert loaded.connections["default"].chargebee_site == "acme-test"
    assert loaded.connections["default"].max_bill_lines == 7


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        pytest.param("web_prot = 9000", "WEB_PROT: is not a setting", id="misspelt"),
        pytest.param(
            'chargebee_site = "acme"', "CHARGEBEE_SITE: belongs in a table [connections.<name>]", id="outside its table"
        ),
        pytest.param(
            OTHER_SITE + "colour = 1", "connections.acme-eu.colour: is not a setting", id="misspelt in a connection"
        ),
        pytest.param("[connections.default]\ncolour = 1", "COLOUR: is not a setting", id="misspelt in the default"),
        pytest.param("connections = 3", "connections: must be tables", id="connections that are none"),
        pytest.param("connections.acme = 3", "connections: must be tables", id="a connection that is none"),
        pytest.param("web_port = ", "connector.toml: is not readable TOML", id="not TOML"),
        pytest.param("web_port = [1]", "WEB_PORT: ", id="another type"),
    ],
)
def test_a_fault_in_the_file_is_said_by_its_name(toml: str, fault: str):
    [found] = faults(toml)
    assert found.startswith(fault)


def test_a_missing_value_of_a_further_connection_is_named_with_the_connection():
    found = faults('[connections.acme-eu]\nchargebee_site = "acme-eu"\nchargebee_webhook_username = "x"')
    assert "connections.acme-eu.m3ter_org_id: is missing" in found
    assert found[0].startswith("connections.acme-eu: CHARGEBEE_WEBHOOK_USERNAME, CHARGEBEE_WEBHOOK_PASSWORD")


def test_a_file_that_was_named_must_be_there():
    assert faults(CONNECTOR_CONFIG="nowhere.toml") == ["CONNECTOR_CONFIG: there is no file nowhere.toml"]


@pytest.mark.parametrize("name", ["acme", "acme-eu", "1", "a" * 40])
def test_a_connection_is_named_as_it_can_stand_in_an_address(name: str):
    assert name in load(OTHER_SITE.replace("acme-eu]", f"{name}]")).connections


@pytest.mark.parametrize("name", ["Acme", '"acme eu"', "acme_eu", "-acme", '"a/b"', '"é"', "a" * 41, '""'])
def test_a_connection_whose_name_cannot_stand_in_an_address_is_refused(name: str):
    [fault] = faults(OTHER_SITE.replace("acme-eu]", f"{name}]"))
    assert "lower-case letters, digits and hyphens" in fault


def test_a_value_can_be_read_from_a_file_without_its_line_end(empty_folder: Path):
    (empty_folder / "key").write_text("from-a-file\n", encoding="utf-8")
    loaded = load(CHARGEBEE_API_KEY="", CHARGEBEE_API_KEY_FILE=str(empty_folder / "key"))
    assert loaded.connections["default"].chargebee_api_key.get_secret_value() == "from-a-file"


def test_the_file_of_a_value_wins_over_the_value_itself(empty_folder: Path):
    (empty_folder / "url").write_text("sqlite:///from-a-file.db", encoding="utf-8")
    loaded = load(DATABASE_URL="sqlite:///plain.db", DATABASE_URL_FILE=str(empty_folder / "url"))
    assert loaded.database_url == "sqlite:///from-a-file.db"


def test_a_file_of_a_value_that_cannot_be_read_is_named(empty_folder: Path):
    (empty_folder / "binary").write_bytes(b"\xff\xfe")
    (empty_folder / "empty").touch()
    found = faults(
        DATABASE_URL_FILE="nowhere",
        REDIS_URL_FILE=str(empty_folder / "binary"),
        M3TER_WEBHOOK_SECRET_FILE=str(empty_folder / "empty"),
    )
    assert found == [
        "DATABASE_URL_FILE: cannot be read (No such file or directory)",
        "REDIS_URL_FILE: is not UTF-8 text",
        "M3TER_WEBHOOK_SECRET: is empty",
    ]


SHOWN = {
    "database_url": f"postgresql+psycopg://connector:{CANARY}@db/connector",
    "redis_url": f"redis://:{CANARY}@redis/0",
    **{name: CANARY for name, field in Connection.model_fields.items() if "SecretStr" in str(field.annotation)},
    "m3ter_webhook_signature_header": "x-signature",
    "m3ter_webhook_signature_scheme": "hmac-sha256-hex",
}


def test_no_secret_is_ever_shown():
    loaded = load(**{name.upper(): value for name, value in SHOWN.items()})
    assert loaded.connections["default"].m3ter_api_secret.get_secret_value() == CANARY
    for form in (repr(loaded), str(loaded), f"{loaded}", repr(loaded.connections), str(loaded.connections["default"])):
        assert CANARY not in form


def test_no_secret_is_in_the_text_of_an_error_whatever_is_wrong_with_it():
    wrong = {
        name: f"{CANARY} http://u:{CANARY}@host"
        for name in (
            *(field.upper() for field in Settings.model_fields),
            *(one.upper() for one in Connection.model_fields),
        )
        if name != "CONNECTIONS"
    }
    broken = f'chargebee_api_key = "{CANARY}"\nredis_url = 1\n[connections]\nacme = "{CANARY}"\n'
    for toml in (None, broken, broken + f"= {CANARY}", f'x = "{CANARY}'):
        with pytest.raises(Misconfigured) as refused:
            load(toml, **wrong)
        assert CANARY not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({"SESSION_SECRET": "x" * 31}, "SESSION_SECRET", id="a short secret"),
        pytest.param({"CONSOLE_HOSTS": "https://admin.example.com"}, "CONSOLE_HOSTS", id="an address"),
        pytest.param({"CONSOLE_HOSTS": "admin.example.com:8443"}, "CONSOLE_HOSTS", id="a port"),
        pytest.param({"CONSOLE_HOSTS": "a.example.com,"}, "CONSOLE_HOSTS", id="a name that is empty"),
        pytest.param(
            {"CONSOLE_PLAIN_HTTP": "true", "CONSOLE_HOSTS": "admin.example.com"}, "CONSOLE_PLAIN_HTTP", id="abroad"
        ),
        pytest.param({"CONSOLE_PROXIES": "-1"}, "CONSOLE_PROXIES", id="fewer than no proxies"),
    ],
)
def test_console_that_would_not_be_safe_is_refused(environment: dict[str, str], said: str):
    [fault] = faults(**environment)
    assert fault.startswith(f"{said}: ")
    assert "x" * 31 not in fault


def test_console_may_speak_plain_http_on_this_machine():
    loaded = load(CONSOLE_PLAIN_HTTP="true", CONSOLE_HOSTS="Localhost, 127.0.0.1,::1")
    assert loaded.console_hosts == ("localhost", "127.0.0.1", "::1")
