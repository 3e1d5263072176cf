"""Pages about mappings: what there is, what is missing and how much waits for it, and changing it in tables and by files.

`pages` looks, `changing` shows what a change would do and saves it, `csv_in` and `pulling` bring rows from elsewhere, and
`options` is what there is to choose from.
"""
