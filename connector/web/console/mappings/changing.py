"""Changing mappings: rows are chosen, a page shows what that would do, and then it is saved whole, once, as it was shown."""

from collections.abc import Sequence

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector import actions
from connector.mappings.files import COLUMNS, NEEDED, of_cells
from connector.mappings.kinds import TABLES
from connector.mappings.pairs import BadMapping
from connector.remapping import proposals, rows, saving
from connector.remapping.proposals import Proposal
from connector.remapping.rows import Wish
from connector.web.console import forms
from connector.web.console.here import me, services
from connector.web.console.mappings import options, pages

# How many syncs are queued at once; the clock queues the rest.
QUEUED_AT_ONCE = 500
MOST_MOVES = 100
# The pages from which somebody can come.
PAGES = ("unmapped", "edit_mappings", "new_mapping", "import_mappings")


def choose(name: str) -> ResponseReturnValue:
    """What was chosen in the rows of a table: what it would do, or back where nothing was."""
    options.connection(name)
    keys, choices = request.form.getlist("row"), request.form.getlist("to")
    if len(keys) != len(choices) or len(keys) > rows.MOST_ROWS:
        abort(400)
    try:
        wishes = [wish for key, to in zip(keys, choices, strict=True) if (wish := rows.chosen(key, to)) is not None]
    except BadMapping:
        abort(400)
    if not wishes:
        flash("Nothing was chosen that is not so already.", "warning")
        return redirect(_came_from(name), 303)
    return confirm(name, wishes)


def _sync() -> int | None:
    """The sync that somebody came from."""
    said = request.form.get("sync", "")
    return int(said) if said.isascii() and said.isdigit() and 0 < int(said[:20]) <= forms.MAX_ROW else None


def _came_from(name: str) -> str:
    """The page that the form was on."""
    return url_for(forms.one_of("from", PAGES), name=name, sync=_sync())


def confirm(
    name: str,
    wishes: Sequence[Wish],
    proposal: Proposal | None = None,
    *,
    changed: bool = False,
    fault: str | None = None,
) -> ResponseReturnValue:
    """What these rows would change and set going, and the button that saves them."""
    found = proposal or proposals.propose(services(), name, wishes)
    catalogues = options.catalogues(name)
    pairs = [pair for one in found.changes for pair in (one.before, one.after) if pair is not None]
    page = render_template(
        "mappings/confirm.html", name=name, found=found, wanted=rows.to_text(wishes), changed=changed, fault=fault,
        names=options.names(catalogues, pairs) | options.plan_names(catalogues), sync_id=_sync(),
        came_from=forms.one_of("from", PAGES), back=_came_from(name),
        moves=found.moves[:MOST_MOVES], ticked=request.form.get("meant") == "yes",
        reason=request.form.get("reason", "")[: forms.MAX_TEXT],
    )  # fmt: skip
    return page, 422 if found.faulty or fault else 200


def save(name: str) -> ResponseReturnValue:
    """Save what was shown; where the world has changed since, it is shown again."""
    options.connection(name)
    try:
        wishes = rows.from_text(request.form.get("wanted", ""))
    except BadMapping:
        abort(400)
    found = proposals.propose(services(), name, wishes)
    if not found.changes:
        flash("It is saved already: nothing was left to change.", "good")
        return redirect(pages.back(name, _sync()), 303)
    reason = forms.optional("reason")
    if found.faulty or request.form.get("seen") != found.fingerprint:
        return confirm(name, wishes, found, changed="seen" in request.form)
    if found.against and request.form.get("meant") != "yes":
        return confirm(name, wishes, found, fault="Say that you mean it, or give the change a first day.")
    if found.counts["remove"] and reason is None:
        return confirm(name, wishes, found, fault="Say why a mapping goes; it is kept in the audit log.")
    try:
        woken = saving.save(services(), found, who=me().actor, reason=reason)
    except saving.Outdated:
        return confirm(name, wishes, changed=True)
    number, go_on = len(found.changes), len(woken)
    tried = f"{go_on} sync{' is' if go_on == 1 else 's are'} tried again now" if go_on else "no sync had waited"
    flash(f"{number} mapping{'' if number == 1 else 's'} saved; {tried}.", "good")
    actions.queue(services(), woken[:QUEUED_AT_ONCE])
    return redirect(pages.back(name, _sync()), 303)


def form(name: str) -> ResponseReturnValue:
    """A mapping to be typed in, filled with what the address says."""
    options.connection(name)
    return _form(name, {column: forms.wanted(column) or "" for column in COLUMNS}, {}, forms.row("sync"))


def ask(name: str) -> ResponseReturnValue:
    """What the mapping that was typed in would do, or what is wrong with it, field by field."""
    options.connection(name)
    cells = {column: forms.optional(column) or "" for column in COLUMNS}
    pair, faults = of_cells(cells)
    missing = tuple((column, "this is needed") for column in NEEDED if not cells[column])
    if pair is None or missing:
        return _form(name, cells, dict((*missing, *faults)), _sync())
    found = proposals.propose(services(), name, [Wish(pair)])
    if found.faulty:
        return _form(name, cells, {column or "": text for one in found.changes for column, text in one.faults}, _sync())
    if not found.changes:
        flash(f"{pair} is so already.", "warning")
        return redirect(pages.back(name, _sync()), 303)
    return confirm(name, [Wish(pair)], found)


def _form(name: str, cells: dict[str, str], faults: dict[str | None, str], sync_id: int | None) -> ResponseReturnValue:
    page = render_template(
        "mappings/new.html", name=name, cells=cells, faults=faults, entities=list(TABLES), sync_id=sync_id,
        tables=list(dict.fromkeys(one for found in TABLES.values() for one in found)), needed=NEEDED,
    )  # fmt: skip
    return page, 422 if faults else 200
