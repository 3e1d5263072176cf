"""Which m3ter entity stands for which Chargebee record. The local table is trusted; m3ter's External Mappings show it.

`kinds` names them, `pairs` is one as a person writes it, `table` keeps them, `plans` and `charges` say what they mean,
`set_up` is for people and `own` for the connector.
"""
