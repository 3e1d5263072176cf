"""What people did, and why."""

from flask import render_template
from flask.typing import ResponseReturnValue

from connector import access, audit
from connector.web.console import forms
from connector.web.console.here import me, services

EXPORT_ROWS = 50_000


def index() -> ResponseReturnValue:
    """The entries by filter, the newest first, a page at a time."""
    actor, action = forms.wanted("actor"), forms.wanted("action")
    with services().reading() as db:
        found = audit.listed(db, actor=actor, action=action, before=forms.before(), limit=forms.PAGE_ROWS + 1)
    rows, older = forms.page(found)
    given = {name: value for name, value in (("actor", actor), ("action", action)) if value}
    return render_template("audit.html", rows=rows, older=older, chosen=given, most=EXPORT_ROWS)


def export() -> ResponseReturnValue:
    """The newest entries by filter as CSV; that somebody has taken them is an entry too."""
    actor, action = forms.wanted("actor"), forms.wanted("action")
    with services().reading() as db:
        text = audit.to_csv(audit.listed(db, actor=actor, action=action, limit=EXPORT_ROWS))
    with services().transaction() as db:
        audit.note(
            db, who=me().actor, action="audit export", connection=access.INSTALLATION, subject="audit log",
            now=services().now(), actor=actor, filtered_action=action,
        )  # fmt: skip
    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": "attachment; filename=audit.csv"}
    return text, 200, headers
