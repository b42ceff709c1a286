"""All questions, as one table."""

from __future__ import annotations

from benchmarks import agents, gateway, lag, readers, streams


def main() -> None:
    """Print the table."""
    print("| question | tailrace | raw uvicorn writer | ratio |\n|---|---|---|---|")
    for row in (*streams.main(), *gateway.main(), *lag.main(), *readers.main(), *agents.main()):
        print(row, flush=True)


if __name__ == "__main__":
    main()
