"""CPU per event: scripted agent → SQLite → Responses frame → socket; unpaced and paced."""

from __future__ import annotations

from benchmarks.harness import cost, get, median, raw, responses, steady, tailrace

CASES = [
    # name, streams, tokens, pause in seconds
    ("1 stream, unpaced", 1, 20_000, 0.0),
    ("50 streams, unpaced", 50, 1_000, 0.0),
    ("50 streams x 20/s", 50, 100, 0.05),
    ("1,000 streams x 20/s", 1_000, 100, 0.05),
]
STEADY = 1_000
"""Streams that are all open while the last row's CPU is counted; opening and closing are in the others."""
TOKENS = 400
ROUNDS = 3


def main() -> list[str]:
    """Rows of the results table."""
    rows: list[str] = []
    for name, streams, tokens, pause in CASES:
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            model = "paced" if pause else "fast"
            with tailrace() as server:
                ours.append(cost(server, responses(model, tokens), streams))
            with raw() as server:
                theirs.append(cost(server, get(f"/?{tokens},{pause}"), streams))
        mine, peer = median(ours), median(theirs)
        rows.append(f"| {name} | {mine:.1f} µs | {peer:.1f} µs | {mine / peer:.2f} |")
    rows.append(_steady())
    return rows


def _steady() -> str:
    """The same while all streams are open: no run begins or ends meanwhile."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        with tailrace() as server:
            ours.append(steady(server, responses("paced", TOKENS), STEADY))
        with raw() as server:
            theirs.append(steady(server, get(f"/?{TOKENS},0.05"), STEADY))
    mine, peer = median(ours), median(theirs)
    return f"| 1,000 streams x 20/s, all open | {mine:.1f} µs | {peer:.1f} µs | {mine / peer:.2f} |"


if __name__ == "__main__":
    print("\n".join(main()))
