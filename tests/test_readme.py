"""The README and the example files say what is true of the code: commands, options, settings, defaults, events."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from pydantic import BaseModel

from connector import settings
from connector.cli import main
from connector.handlers import CHARGEBEE, on_nothing
from connector.mappings import catalogues, files, kinds
from connector.settings import Connection, Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT = (ROOT / "config/env.example").read_text(encoding="utf-8")
TOML = (ROOT / "config/connector.example.toml").read_text(encoding="utf-8")

FENCES = re.findall(r"^```\w*\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE)
SPANS = re.findall(r"`([^`\n]+)`", PROSE)
# What `connector` lines in a shell block look like; brackets stand around what may be left out.
COMMAND_LINES = sorted(
    {
        line
        for text in [*SPANS, *"\n".join(FENCES).splitlines()]
        for line in [text.strip()]
        if line.startswith("connector ")
    }
)
GLOBAL = [name.upper() for name in Settings.model_fields if name != "connections"]
OF_CONNECTION = [name.upper() for name in Connection.model_fields]
# Read outside of the settings: which file to read, and which server the tests use.
OTHER_NAMES = {"CONNECTOR_CONFIG", "TEST_POSTGRESQL_URL"}


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())


def options(command: click.Command) -> set[str]:
    """The long names of a command's options."""
    return {name for one in command.params if isinstance(one, click.Option) for name in one.opts if name[:2] == "--"}


def split(line: str) -> tuple[str, list[str]]:
    """A command line's command, as far as it exists, and its remaining words."""
    words = [word.strip("[]") for word in shlex.split(re.sub(r"<[^>]*>", "VALUE", line), comments=True)][1:]
    for length in range(len(words), 0, -1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    pytest.fail(f"`{line}` is no command")


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_in_the_readme_can_be_typed(line: str):
    name, rest = split(line)
    command = COMMANDS[name]
    by_name = {flag: one for one in command.params if isinstance(one, click.Option) for flag in one.opts}
    given: list[str] = []
    words = iter(rest)
    for word in words:
        if word.startswith("--"):
            assert word in {*by_name, "--help"}, f"`connector {name}` has no option {word}"
            if word in by_name and not by_name[word].is_flag:
                assert next(words, None) is not None, f"{word} lacks its value"
        else:
            given.append(word)
    wanted = [one for one in command.params if isinstance(one, click.Argument)]
    # A command that is only named in a sentence stands without its arguments.
    assert len(given) in {len(wanted), 0 if line in SPANS else len(wanted)}


COMMAND_ROWS = re.findall(r"^\| `connector ([^`]+)` \| .+ \|$", README, re.MULTILINE)


def test_the_table_of_commands_holds_each_command_once():
    assert sorted(split(f"connector {row}")[0] for row in COMMAND_ROWS) == sorted(COMMANDS)


@pytest.mark.parametrize("row", COMMAND_ROWS)
def test_a_row_of_the_table_shows_all_arguments_and_options(row: str):
    name, rest = split(f"connector {row}")
    command = COMMANDS[name]
    assert {word for word in rest if word.startswith("--")} == options(command) - {"--json"}
    arguments = [str(one.name).upper() for one in command.params if isinstance(one, click.Argument)]
    assert rest[: len(arguments)] == arguments
    needed = {flag for one in command.params if isinstance(one, click.Option) and one.required for flag in one.opts}
    assert {flag for flag in options(command) - {"--json"} if f"[{flag}" not in row} == needed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_answer_in_json(name: str):
    assert "--json" in options(COMMANDS[name])


SETTING_ROWS = re.findall(r"^\| `([A-Z0-9_]+)` \| (.+?) \| .+ \|$", README, re.MULTILINE)


def default(model: type[BaseModel], name: str) -> str:
    """A setting's default as the tables write it."""
    field = model.model_fields[name.lower()]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return f"`{value}`".lower()
    return "unset" if value in (None, {}, ()) else f"`{value}`"


def test_the_tables_of_settings_hold_each_setting_once_with_its_default():
    expected = [(name, default(Settings, name)) for name in GLOBAL]
    expected += [(name, default(Connection, name)) for name in OF_CONNECTION]
    assert sorted(SETTING_ROWS) == sorted(expected)


def test_the_readme_names_no_setting_that_does_not_exist():
    known = {*GLOBAL, *OF_CONNECTION, *OTHER_NAMES}
    known |= {f"{name}_FILE" for name in known}
    arguments = {str(one.name).upper() for command in COMMANDS.values() for one in command.params}
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", README))
    assert named - known - arguments - {*kinds.LINE_ITEM_TYPES} == set()


@pytest.mark.parametrize("name", ["CONNECTOR_CONFIG", "_FILE", "[connections.<name>]", "config/connector.toml"])
def test_the_readme_says_where_settings_come_from(name: str):
    assert f"`{name}`" in README


ENVIRONMENT_LINES = [
    found.groups() for line in ENVIRONMENT.splitlines() if (found := re.fullmatch(r"(#?)([A-Z0-9_]+)=(.*)", line))
]


def test_the_example_environment_holds_each_setting_once():
    assert sorted(name for _, name, _ in ENVIRONMENT_LINES) == sorted(["CONNECTOR_CONFIG", *GLOBAL, *OF_CONNECTION])


def test_the_example_environment_shows_the_defaults_and_needs_what_is_required():
    for commented, name, value in ENVIRONMENT_LINES:
        model = Settings if name in GLOBAL else Connection
        if name == "CONNECTOR_CONFIG":
            assert value == settings.CONFIG_FILE
        elif (expected := default(model, name)) == "required":
            assert not commented, name
        elif expected != "unset":
            assert (commented, f"`{value}`") == ("#", expected), name


@pytest.mark.parametrize("everything", [False, True], ids=["as it stands", "with every line taken in"])
def test_the_example_environment_works(everything: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    environment = {
        name: value
        for commented, name, value in ENVIRONMENT_LINES
        if (everything or not commented) and name != "CONNECTOR_CONFIG"
    }
    assert list(settings.load(environment).connections) == ["default"]


@pytest.mark.parametrize("everything", [False, True], ids=["as it stands", "with every line taken in"])
def test_the_example_file_works(everything: bool, tmp_path: Path):
    text = re.sub(r"^# (?=[a-z0-9_]+ = )", "", TOML, flags=re.MULTILINE) if everything else TOML
    (tmp_path / "connector.toml").write_text(text, encoding="utf-8")
    loaded = settings.load({"CONNECTOR_CONFIG": str(tmp_path / "connector.toml")})
    assert sorted(loaded.connections) == ["acme-eu", "acme-us"]
    assert not everything or tomllib.loads(text) != tomllib.loads(TOML)


def test_the_example_mappings_can_be_imported_and_show_every_kind():
    pairs = files.from_csv((ROOT / "config/mappings.example.csv").read_text(encoding="utf-8"))
    services: Any = SimpleNamespace(connection=lambda name: None)
    assert catalogues.checked(services, "default", pairs, check=False) == pairs
    assert {pair.m3ter_entity for pair in pairs} == {*kinds.SET_UP_ENTITIES, "Account"}


def test_the_events_to_choose_in_chargebee_are_those_that_are_handled():
    [listed] = re.findall(r"^```events\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert sorted(listed.split()) == sorted(event for event, handler in CHARGEBEE.items() if handler is not on_nothing)


SOURCES = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "connector").rglob("*.py"))


def test_the_causes_that_the_readme_names_are_those_that_the_code_gives():
    causes = re.findall(r"^\| [a-z].* \| `([a-z_]+)` \|$", README, re.MULTILINE)
    assert causes
    assert [cause for cause in causes if f'"{cause}"' not in SOURCES] == []


def test_every_make_target_in_the_readme_exists():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"^make (\w+)", "\n".join(FENCES), re.MULTILINE) + [
        span.removeprefix("make ") for span in SPANS if re.fullmatch(r"make \w+", span)
    ]
    assert {"demo", "test", "run"} <= set(named) <= set(targets)


def test_the_processes_in_the_readme_are_those_of_the_procfile():
    procfile = re.findall(r"^\w+: (.+)$", (ROOT / "Procfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert "\n".join(procfile) + "\n" in FENCES


def test_every_link_inside_the_readme_leads_to_a_heading():
    headings = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in re.findall(r"^#+ (.+)$", README, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_every_picture_in_the_readme_is_there_and_small():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert {ROOT / one for one in pictures} == set((ROOT / "config" / "screenshots").glob("*"))
    assert all((ROOT / one).stat().st_size <= 150_000 for one in pictures)


def test_every_file_that_the_readme_names_is_there():
    named = {span for span in SPANS if re.fullmatch(r"config/\S+|LICENSE|Procfile|[A-Z]+\.md", span)}
    assert {name for name in named if not (ROOT / name).exists()} <= {settings.CONFIG_FILE}
    assert {f"config/{path.name}" for path in (ROOT / "config").glob("*example*")} <= named | set(
        " ".join(COMMAND_LINES).split()
    )
