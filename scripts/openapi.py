"""Ask a running server what its own description allows, some thousand times: `make test-openapi`.

schemathesis makes the requests from `/openapi.json`, almost right and plainly wrong. No answer may be a 500,
none a status that the description does not name.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.servers import running

TOOL = Path(".clients/schemathesis/bin/schemathesis")
CASES = 5_000
OPTIONS = (
    "--checks=not_a_server_error,status_code_conformance",
    "--phases=examples,coverage,fuzzing",
    "--max-examples=100",
    "--seed=1",
    "--request-timeout=20",
    "--workers=2",
    "--no-color",
)


def main() -> int:
    """1 when the server answered what it must not, or was asked too little."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        command = [str(TOOL), "run", server.url + "/openapi.json", *OPTIONS]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        traces = "Traceback" in server.errors()
    made = re.search(r"(\d+) generated", done.stdout)
    enough = made is not None and int(made[1]) >= CASES
    print(done.stdout[-1_500:] if enough and not done.returncode else done.stdout)
    return int(done.returncode != 0 or not enough or traces)


if __name__ == "__main__":
    sys.exit(main())
