"""The clients people use, each in its own environment, against live servers; the table says what works.

`python -m compat` runs them and writes docs/compatibility.md. A client is a script (`python/`, `node/`, `curl/`)
that prints a JSON line per scenario; `clients.py` says which clients there are and what each has no form for.
"""
