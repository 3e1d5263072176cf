"""What people change in the mappings: what waits for one and how much money, what a change would do, and the change itself.

`waiting` is what stands still, `unmapped` what nobody has said anything of, `proposals` what a change would come to, `saving`
makes it, `rows` are its rows as forms and files have them, and `listing` is what there is.
"""
