"""A balance over time as one page that needs nothing else, for a person to keep, to print or to send on."""

from decimal import Decimal

import jinja2
from markupsafe import Markup

from connector import money
from connector.balances import drawing
from connector.balances.held import last_moment
from connector.balances.picture import Picture, summary


def to_page(picture: Picture) -> str:
    """The page: the chart, and all that it shows as tables, every amount with its currency."""
    # The drawing escapes all that it is given.
    chart = Markup(drawing.svg(picture))  # noqa: S704
    return _PAGE.render(
        picture=picture, balance=picture.balance, chart=chart, chart_style=Markup(drawing.STYLE),  # noqa: S704
        summary=summary(picture), last=last_moment(picture.balance), shown=_shown,
    ) + "\n"  # fmt: skip


def _shown(amount: Decimal | None, currency: str | None) -> str:
    return "" if amount is None else money.shown(amount, currency or "")


_PAGE = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
).from_string(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Balance {{ balance.name }}</title>
<style>
:root { color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --quiet: #59636e; --rule: #d8dee4; --warn: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --ink: #e6edf3; --quiet: #9da7b3; --rule: #30363d; --warn: #ff8a80; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 64rem; color: var(--ink);
  background: var(--page); }
h1 { font-size: 1.5rem; margin: 0; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; }
.quiet { color: var(--quiet); margin: .25rem 0 1rem; overflow-wrap: anywhere; }
.warn { color: var(--warn); font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem 1.5rem; margin: 1.25rem 0; }
dt { color: var(--quiet); font-size: .85rem; }
dd { margin: 0; font-size: 1.1rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--rule); padding: .35rem .9rem .35rem 0; text-align: left; vertical-align: top; }
th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
.amount { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.day { white-space: nowrap; font-variant-numeric: tabular-nums; }
@media print { body { max-width: none; } }
{{ chart_style }}
</style>
</head>
<body>
<main>
<h1>{{ balance.name }}</h1>
<p class="quiet">Balance {{ balance.code }} ({{ balance.id }}) of account {{ balance.account_id }}, in {{ balance.currency }}.
From {{ balance.start.strftime("%Y-%m-%d") }} to {{ balance.end.strftime("%Y-%m-%d") }}
{%- if balance.rollover_end %}, with a rollover until {{ balance.rollover_end.strftime("%Y-%m-%d") }}{% endif %}.
As it stood at {{ picture.now.strftime("%Y-%m-%d %H:%M") }} UTC.</p>
<dl>
<div><dt>Holds</dt><dd>{{ shown(picture.stands.held, balance.currency) }}</dd></div>
<div><dt>Came in</dt><dd>{{ shown(picture.stands.credited, balance.currency) }}</dd></div>
<div><dt>Drawn by bills</dt><dd>{{ shown(picture.stands.consumed, balance.currency) }}</dd></div>
<div><dt>Expired</dt><dd>{{ shown(picture.stands.expired, balance.currency) }}</dd></div>
{% if picture.threshold is not none %}
<div><dt>Threshold</dt><dd>{{ shown(picture.threshold, balance.currency) }}</dd></div>
{% endif %}
{% if picture.forecast.daily is not none %}
<div><dt>Used, not drawn yet</dt><dd>{{ shown(picture.forecast.used, balance.currency) }}</dd></div>
<div><dt>Drawn a day</dt><dd>{{ shown(picture.forecast.daily, balance.currency) }}</dd></div>
{% endif %}
{% if picture.now < last %}
<div><dt>Runs out</dt><dd>
{%- if picture.stands.held <= 0 %}it is empty
{%- elif picture.forecast.runs_out %}{{ picture.forecast.runs_out.strftime("%Y-%m-%d") }}
{%- elif picture.forecast.daily is none %}not known
{%- else %}not before {{ picture.forecast.looked_until.strftime("%Y-%m-%d") }}{% endif %}</dd></div>
{% endif %}
{% if picture.forecast.suggested is not none %}
<div><dt>Suggested top-up</dt><dd>{{ shown(picture.forecast.suggested, balance.currency) }}</dd></div>
{% endif %}
</dl>
<p>{{ summary }}</p>
{% for sentence in picture.disagreements %}
<p class="warn">Careful: {{ sentence }}.</p>
{% endfor %}
<div class="wide" tabindex="0" role="region" aria-label="Chart">
{{ chart }}
</div>
<h2 id="transactions">Transactions</h2>
{% if picture.movements %}
<div class="wide" tabindex="0" role="region" aria-labelledby="transactions">
<table>
<thead><tr><th scope="col">Applied</th><th scope="col" class="amount">Amount</th><th scope="col" class="amount">Held after</th>
<th scope="col">Made</th><th scope="col">Description</th><th scope="col" class="amount">Paid</th></tr></thead>
<tbody>
{% for one in picture.movements %}
<tr><td class="day">{{ one.at.strftime("%Y-%m-%d %H:%M") }}</td><td class="amount">{{ shown(one.amount, balance.currency) }}</td>
<td class="amount">{{ shown(one.held, balance.currency) }}</td>
<td>{{ one.made_by }}{% if one.bill_id %} {{ one.bill_id }}{% endif %}</td><td>{{ one.description }}</td>
<td class="amount">{{ shown(one.paid, one.currency_paid) }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p class="quiet">None yet.</p>
{% endif %}
<h2 id="charges">Charges</h2>
{% if picture.charges %}
<div class="wide" tabindex="0" role="region" aria-labelledby="charges">
<table>
<thead><tr><th scope="col">Billed on</th><th scope="col" class="amount">Amount</th><th scope="col">Charge</th>
<th scope="col">Bill</th></tr></thead>
<tbody>
{% for one in picture.charges %}
<tr><td class="day">{{ one.day }}</td><td class="amount">{{ shown(one.amount, one.currency) }}</td><td>{{ one.name }}</td>
<td>{{ one.bill_id or "not billed yet" }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p class="quiet">None.</p>
{% endif %}
<h2 id="coming">To come by schedules</h2>
{% if picture.coming_credits or picture.coming_charges %}
<div class="wide" tabindex="0" role="region" aria-labelledby="coming">
<table>
<thead><tr><th scope="col">Day</th><th scope="col" class="amount">Amount</th><th scope="col">What</th></tr></thead>
<tbody>
{% for one in picture.coming_credits %}
<tr><td class="day">{{ one.at.strftime("%Y-%m-%d") }}</td><td class="amount">{{ shown(one.amount, balance.currency) }}</td>
<td>credit</td></tr>
{% endfor %}
{% for one in picture.coming_charges %}
<tr><td class="day">{{ one.day }}</td><td class="amount">{{ shown(one.amount, one.currency) }}</td>
<td>charge: {{ one.description }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% else %}
<p class="quiet">Nothing.</p>
{% endif %}
</main>
</body>
</html>"""
)
