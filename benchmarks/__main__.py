"""All questions, as one table."""

from __future__ import annotations

from benchmarks import agents, cluster, encode, gateway, lag, readers, recovery, streams, takeover


def main() -> None:
    """Print the table."""
    print("| question | tailrace | raw uvicorn writer | ratio |\n|---|---|---|---|")
    for part in (streams, gateway, lag, readers, recovery, agents, encode, cluster, takeover):
        for row in part.main():
            print(row, flush=True)


if __name__ == "__main__":
    main()
