"""Hatchling, behind one sentence for a Python that is too old: pip would build, then fetch what the package
needs, and on some Pythons end with what it did not find of that."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("tailrace needs Python 3.11 or later; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031

from hatchling.build import *  # noqa: F403
