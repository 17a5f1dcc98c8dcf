"""`python -m benchmarks.arena`. Contenders that spawn import this module: it must import nothing."""

if __name__ == "__main__":
    import sys

    from .command import main

    sys.exit(main())
