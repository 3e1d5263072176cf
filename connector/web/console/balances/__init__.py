"""Balance Billing in the console: what accounts hold, all that can be asked for, and how far it is.

A page is one function, and what people fill in is a table of fields (`fields`): one template draws every form, and one every
page that shows what is about to happen.
"""
