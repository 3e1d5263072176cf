"""Reading all settings, and saying all at once what is wrong with them."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from connector.errors import Misconfigured
from connector.settings.connection import DEFAULT_CONNECTION, Connection
from connector.settings.installation import Settings
from connector.settings.together import half_credentials, half_sign_on, order_of_times

CONFIG_FILE = "config/connector.toml"


def load(environ: Mapping[str, str] | None = None, *, needs_connection: bool = True) -> Settings:
    """The settings of this process; raises Misconfigured with every wrong or missing name at once."""
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    values = _from_file(environ, problems)
    connections = values.setdefault("connections", {})
    if not isinstance(connections, dict) or not all(isinstance(one, dict) for one in connections.values()):
        problems.append("connections: must be tables like [connections.acme]")
        connections = values["connections"] = {}
    values.update(_from_environment(environ, Settings, problems))
    default = _from_environment(environ, Connection, problems)
    if default:
        # It stands first, as what a page about one connection begins with.
        own = {**connections.pop(DEFAULT_CONNECTION, {}), **default}
        connections = values["connections"] = {DEFAULT_CONNECTION: own, **connections}
    if needs_connection and not connections:
        problems.append(
            "CHARGEBEE_SITE, CHARGEBEE_API_KEY, M3TER_ORG_ID, M3TER_API_KEY, M3TER_API_SECRET: no connection is configured"
        )
    problems += order_of_times(values)
    problems += half_sign_on(values)
    for name, connection in connections.items():
        problems += half_credentials(name, connection)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_sentence(item["loc"], item["type"], item["msg"]) for item in error.errors()]
    if problems:
        raise Misconfigured("The settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return settings


def _from_file(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    chosen = environ.get("CONNECTOR_CONFIG")
    path = Path(chosen or CONFIG_FILE)
    if not path.exists():
        if chosen:
            problems.append(f"CONNECTOR_CONFIG: there is no file {chosen}")
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{path}: is not readable TOML ({error})")
        return {}


def _from_environment(environ: Mapping[str, str], model: type[BaseModel], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in model.model_fields:
        name = field.upper()
        if environ.get(f"{name}_FILE", "") != "":
            try:
                values[field] = Path(environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
            except OSError as error:
                problems.append(f"{name}_FILE: cannot be read ({error.strerror})")
            except ValueError:
                problems.append(f"{name}_FILE: is not UTF-8 text")
        elif environ.get(name, "") != "":
            values[field] = environ[name]
    return values


WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting",
    "too_short": "is empty",
}


def _sentence(location: tuple[int | str, ...], kind: str, message: str) -> str:
    """The setting's name as the person wrote it, and what is wrong with it."""
    text = WORDS.get(kind, message.removeprefix("Value error, "))
    names = [str(part) for part in location]
    if names[:2] == ["connections", DEFAULT_CONNECTION]:
        names = [names[2].upper()] if len(names) > 2 else []
    elif names[:1] == ["connections"]:
        names = [".".join(names)]
    else:
        if kind == "extra_forbidden" and names[0] in Connection.model_fields:
            text = f"belongs in a table [connections.<name>], e.g. [connections.{DEFAULT_CONNECTION}]"
        names = [name.upper() for name in names[:1]]
    return ": ".join([*names, text])
