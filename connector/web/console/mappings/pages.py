"""What is mapped and what is not, to look at and to choose from."""

from dataclasses import dataclass
from typing import Any

from flask import render_template, url_for
from flask.typing import ResponseReturnValue

from connector.balances import products
from connector.mappings import files, table
from connector.mappings.pairs import Pair
from connector.models import Mapping
from connector.remapping import listing, rows, unmapped, waiting
from connector.remapping.listing import OWN, PEOPLES
from connector.web.console import forms
from connector.web.console.here import services
from connector.web.console.mappings import options
from connector.web.console.mappings.options import Chooser, Options

# Rows with choices on one page; the filter finds the others.
CHOICE_ROWS = 100


@dataclass(frozen=True)
class Row:
    """A row of a table with choices: what its form carries, what is chosen now, and what can be."""

    key: str
    chosen: str
    options: Options | None
    of: Any


def index() -> ResponseReturnValue:
    """What people have mapped in one connection, and the connector's own rows by kind; nobody is asked."""
    name = forms.wanted("connection", services().connections) or next(iter(services().connections))
    kind = forms.wanted("kind", [*PEOPLES, *OWN])
    about, before = forms.wanted("about"), forms.before()
    with services().reading() as db:
        if kind is not None and kind in OWN:
            found = listing.own(db, name, kind, about=about, before=before, limit=forms.PAGE_ROWS + 1)
        else:
            found = listing.peoples(db, name, kind=kind, about=about, before=before, limit=forms.PAGE_ROWS + 1)
        counts = listing.counts(db, name)
        sold = products.listed(db, name)
    shown, older = forms.page(found)
    given = {"connection": name, "kind": kind, "about": about}
    return render_template(
        "mappings/index.html", name=name, rows=[(row, Pair.of(row)) for row in shown], older=older,
        chosen={key: value for key, value in given.items() if value}, kinds=list(PEOPLES), own=list(OWN), counts=counts,
        sold=sold, connections=list(services().connections), is_own=kind in OWN,
    )  # fmt: skip


def show_unmapped(name: str) -> ResponseReturnValue:
    """What is not mapped yet, with what waits for it, and the choices right there; or just what one sync waits for."""
    options.connection(name)
    sync_id, about = forms.row("sync"), forms.wanted("about")
    found = unmapped.look(services(), name, sync_id=sync_id, catalogues=options.catalogues(name))
    chooser = Chooser(found.catalogues)
    prices = [
        Row(rows.open_price(one.item_price_id), rows.LEAVE, chooser.of_price(one.price), one)
        for one in found.prices
        if _named(about, one.item_price_id, one.price.name if one.price else "")
    ]
    lines = [
        Row(_key(one.source), rows.LEAVE, chooser.of_lines(one.source.currency), one)
        for one in found.lines
        if _named(about, one.source.m3ter_id, *one.descriptions)
    ]
    metrics = [
        Row(_key(one), rows.LEAVE, chooser.of_lines(one.currency), one)
        for one in found.metrics
        if _named(about, one.m3ter_id, found.catalogues.name_of(one.entity, one.m3ter_id) or "")
    ]
    return render_template(
        "mappings/unmapped.html", name=name, found=found, prices=prices[:CHOICE_ROWS], lines=lines[:CHOICE_ROWS],
        metrics=metrics[:CHOICE_ROWS], more=sum(max(0, len(one) - CHOICE_ROWS) for one in (prices, lines, metrics)),
        used=[one for one in chooser.used.values() if one.is_long], sync_id=sync_id, totals=waiting.totals(found.bills.bills),
        chosen={"about": about} if about else {}, most_syncs=waiting.MOST_SYNCS,
    )  # fmt: skip


def _key(source: waiting.Source) -> str:
    return rows.open_source(source.entity, source.m3ter_id, source.currency)


def _named(about: str | None, *words: str) -> bool:
    return about is None or any(about.lower() in word.lower() for word in words)


def edit(name: str) -> ResponseReturnValue:
    """What people have mapped, each row with its choices."""
    options.connection(name)
    kind, about, before = forms.wanted("kind", PEOPLES), forms.wanted("about"), forms.before()
    with services().reading() as db:
        found = listing.peoples(db, name, kind=kind, about=about, before=before, limit=CHOICE_ROWS + 1)
    catalogues = options.catalogues(name)
    chooser = Chooser(catalogues)
    shown = [_row(chooser, one) for one in found[:CHOICE_ROWS]]
    return render_template(
        "mappings/edit.html", name=name, rows=shown, kinds=list(PEOPLES), catalogues=catalogues,
        names=options.names(catalogues, [row.of for row in shown]),
        used=[one for one in chooser.used.values() if one.is_long],
        older=found[CHOICE_ROWS - 1].id if len(found) > CHOICE_ROWS else None,
        chosen={key: value for key, value in (("kind", kind), ("about", about)) if value},
    )  # fmt: skip


def _row(chooser: Chooser, row: Mapping) -> Row:
    pair = Pair.of(row)
    found = chooser.of_pair(pair)
    return Row(rows.key_of(pair), rows.choice_of(pair) if found else rows.LEAVE, found, pair)


def export(name: str) -> ResponseReturnValue:
    """What people have mapped as a file, which can be brought back the same."""
    options.connection(name)
    with services().reading() as db:
        text = files.to_csv(table.peoples(db, name))
    said = f"attachment; filename=mappings-{name}.csv"
    return text, 200, {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": said}


def back(name: str, sync_id: int | None) -> str:
    """Where somebody goes on after a change: to the sync that they came from, else to what there is."""
    if sync_id is not None:
        return url_for("sync", sync_id=sync_id)
    return url_for("mappings", connection=name)
