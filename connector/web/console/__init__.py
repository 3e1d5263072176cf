"""The console: what an admin sees and does. A page is a line in `routes.py`, a function beside it, and a template."""
