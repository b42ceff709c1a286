"""The clients people use, each in its own environment, against a live server; the table says what works.

`python -m compat` runs them and writes docs/compatibility.md. A client is a script (below)
that prints a JSON line per scenario; `clients.py` says which there are and what each has no form for.
"""
