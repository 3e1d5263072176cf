"""Mappings from a file: read whole, each fault with its line and column, and shown before anything of it is kept."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from connector.mappings.files import Line, read_lines
from connector.mappings.pairs import BadMapping
from connector.remapping import proposals, rows
from connector.web.console.here import services
from connector.web.console.mappings import changing, options


def form(name: str) -> ResponseReturnValue:
    """Where a file is chosen, or its text pasted."""
    options.connection(name)
    return _page(name, "")


def check(name: str) -> ResponseReturnValue:
    """What the file would change, or everything that is wrong with it; nothing is kept yet."""
    options.connection(name)
    try:
        text = _text()
        lines = read_lines(text)
        if len(lines) > rows.MOST_ROWS:
            raise BadMapping(f"more than {rows.MOST_ROWS} rows at once are for `connector mappings import`")
    except BadMapping as fault:
        return _page(name, request.form.get("text", ""), fault=str(fault))
    if any(one.faults for one in lines):
        return _page(name, text, lines)
    wishes = rows.of_file(lines)
    if request.form.get("rest") == "remove":
        with services().reading() as db:
            wishes += rows.rest(db, name, wishes)
    found = proposals.propose(services(), name, wishes)
    if found.faulty:
        return _page(name, text, [Line(one.line or 0, one.pair, one.faults) for one in found.changes])
    if not found.changes:
        return _page(
            name, text, said=f"All {found.unchanged} rows say what is mapped already: there is nothing to change."
        )
    return changing.confirm(name, wishes, found)


def _text() -> str:
    """The file, or what was pasted."""
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        return request.form.get("text", "")
    try:
        return str(sent.read(), "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadMapping("the file is not UTF-8: save it as CSV UTF-8") from error


def _page(
    name: str, text: str, lines: list[Line] | None = None, *, fault: str | None = None, said: str | None = None
) -> ResponseReturnValue:
    faults = [(one, column, fault) for one in lines or () for column, fault in one.faults]
    page = render_template("mappings/import.html", name=name, text=text, faults=faults, fault=fault, said=said)
    return page, 422 if faults or fault else 200
