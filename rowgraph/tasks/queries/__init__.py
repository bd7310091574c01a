"""Predictive queries: a question about the future in one line, in the field's notation, as a task.

    PREDICT COUNT(orders.*, 0, 30, days) = 0
    FOR EACH customers.customer_id
    WHERE COUNT(orders.*, -90, 0, days) > 0

`notation` reads the text into a `query`, `meaning` finds what its names mean in a database,
`compiling` makes the SQL and the manifest of a RelBench task, `proposing` looks at its labels and
says whether they can be learnt. The notation is Kumo's PQL (kumo.ai/docs/reference); what differs
is in docs/decisions/queries.md.
"""
