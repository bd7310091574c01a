"""A person's own database becomes a RelBench 3 folder.

`sources` reach a database and stream its rows; `found` is what its catalogue says; `decisions` are
what is made of it, in a file that a person can read and change; `proposing` makes the first ones;
`staging` fetches rows; `numbering` puts row numbers in the place of keys; `running` is the whole.
"""
