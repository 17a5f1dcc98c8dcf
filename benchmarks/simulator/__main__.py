"""`python -m benchmarks.simulator`: the table, and what went worst."""

from __future__ import annotations

import argparse
import time

from .table import by_kind, compare, everything, story, text


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.simulator", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="a table for the docs")
    parser.add_argument("--random", type=int, default=300, help="generated workloads")
    parser.add_argument("--worst", type=int, default=20, help="how many of the worst to explain")
    parser.add_argument("--only", default="", help="workloads with this in their names")
    options = parser.parse_args()
    began = time.perf_counter()
    rows = compare(one for one in everything(options.random) if options.only in one.name)
    print(text(by_kind(rows), markdown=options.markdown))
    if options.markdown:
        return
    print(f"\n{len(rows)} workloads in {time.perf_counter() - began:.1f} s. The worst:\n")
    for row in sorted(rows, key=lambda row: -row.ratio)[: options.worst]:
        print(story(row))


if __name__ == "__main__":
    main()
