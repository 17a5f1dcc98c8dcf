"""Feedback policies: how much to send at once, how many at once, when to change one's mind.

Pure functions over plain numbers and frozen records, so that each can be read, tested and
simulated by itself.
"""

from __future__ import annotations

import math

PREFETCH = 2
"""Chunks in flight for each worker process: one runs, one waits in the pipe."""
SHORT_CHUNK_S = 0.005
"""Chunks shorter than this are prefetched to the end; of longer ones none may wait behind another while
a worker has nothing to do. Where it was not prefetched, the next chunk came 1 to 4 ms late, which took a
fifth of the time of chunks of 13 ms."""
TAIL = 3.0
"""Standard deviations by which a call may exceed the mean, for those that must not wait behind it."""
FIRST_BLOCK_S = 0.002
LONGEST_BLOCK_S = 0.02
"""Blocks of calls run one after another are sized to these. A block that turns out longer is
recalled, so what they bound is how stale the figures of a decision may be."""
OVERRUN = 2.0
"""A block that takes this many times what was expected, and 2 ms more, holds something new. Blocks
of the same calls vary by a third on a shared machine, and one recalled in vain costs 2 ms."""


LONGEST_IDLE_S = 120.0
"""The longest that idle workers are kept for the next run: what two of them hold (20 MB each, and what they
have imported) is not worth 0.1 to 0.2 s of a start for any longer."""


def idle_after_miss(gap_s: float, kept_s: float) -> float:
    """Seconds for which idle workers are kept from now on, where a run came too late to find them.

    Twice the gap that they would have had to last: who calls every half a minute (a notebook, a job queue)
    waits for a start once, not each time; who calls once, or every hour, keeps nothing for long.

    Args:
        gap_s: Seconds between the end of the run before and this one.
        kept_s: What they are kept for until now.
    """
    return kept_s if gap_s > LONGEST_IDLE_S else max(kept_s, min(2 * gap_s, LONGEST_IDLE_S))


DEAR_S = 0.35
"""CPU seconds of a worker's start from which it is kept for longer from the first run on. An empty one takes 0.03; with
NumPy 0.10 to 0.16, and twice that on a machine half as fast, which should not be kept there either. With a module that
imports that, `asyncio` and `urllib.request`, and makes two tables, 0.4, so that the second of two runs of 300 calls of
3 ms, with ten seconds in between, took 0.68 s, 0.47 with the worker of the first."""
KEPT_FOR = 100.0
"""Times that for which it is kept: what it holds meanwhile is memory, no core."""


def idle_s(kept_s: float, start_s: float) -> float:
    """Seconds for which idle workers are kept.

    Args:
        kept_s: What they are kept for however little they cost.
        start_s: CPU seconds until one of them had what it has loaded.
    """
    if start_s < DEAR_S:
        return kept_s
    return max(kept_s, min(KEPT_FOR * start_s, LONGEST_IDLE_S))


def block_size(wall_s: float, blocks: int, remaining: int | None) -> int:
    """Items to run one after another before looking again.

    Args:
        wall_s: Mean seconds of a call.
        blocks: Blocks that have been run, an earlier run counting as two. The first is one call,
            which is not like the rest; the second aims at 2 ms, the others at 20.
        remaining: Items left, or None if that is not known.
    """
    target = FIRST_BLOCK_S if blocks < 2 else LONGEST_BLOCK_S
    size = max(1, int(target / max(wall_s, 1e-9)))
    if remaining is None:
        return size
    # A rest that is only as long again is not worth a second dispatch.
    return max(1, remaining) if remaining <= 2 * size and size > 1 else size


TRIPS = 50
"""A chunk takes so many times as long as its dispatch, which then is 2 % of it."""


def chunk_size(
    wall_s: float, trip_s: float, spread: float, remaining: int, workers: int, item_bytes: int
) -> int:
    """Items in one dispatch to one of several workers.

    `k = clamp(50 d / w, 1, R / (x P))`: dispatch stays under 2 % of the work, while the last
    chunks stay small enough to end together; x is 2, 4 or 8 as the calls vary more. Never more
    than 1 MiB of payload.

    Args:
        wall_s: Mean seconds of a call (w).
        trip_s: Seconds that one dispatch costs (d).
        spread: Coefficient of variation of the seconds per call.
        remaining: Items left (R).
        workers: Workers that share them (P).
        item_bytes: Pickled size of an item and its result.
    """
    share = share_of(spread)
    by_cost = math.ceil(TRIPS * trip_s / max(wall_s, 1e-9))
    by_rest = remaining // (share * workers)
    by_size = (1 << 20) // max(1, item_bytes)
    return max(1, min(by_cost, by_rest, by_size))


TASKS = 64
"""The most tasks in one chunk: what a chunk costs, 8 µs, is a hundredth of what they do."""
TASK_CHUNKS = 32
"""Chunks of tasks at the least that the calls at once are made of: places are filled as one of them is free."""


def tasks_size(limit: int) -> int:
    """Tasks in one chunk for an event loop, all of which begin at once.

    Args:
        limit: Calls that may run at once.
    """
    return max(1, min(TASKS, limit // TASK_CHUNKS))


EVEN = 0.3
"""Coefficient of variation of the seconds of calls that hardly vary. In simulation mixtures that wait for half of
their time, with 0.6, took 1.4 times as long on threads in chunks as long as those of even calls."""


def share_of(spread: float) -> int:
    """Chunks for each worker that the rest makes at least: more where calls vary, so that the last
    end together."""
    return 2 if spread < EVEN else 4 if spread < 1.0 else 8


def prefetch(chunk_s: float, spread: float, chunks_left: float, workers: int) -> int:
    """Chunks in flight for each worker process.

    Args:
        chunk_s: Seconds that one takes.
        spread: Coefficient of variation of the seconds per call.
        chunks_left: How many have not been sent.
        workers: Workers that share them.
    """
    # What waits behind a call of 160 ms while the other worker has nothing to do costs as much, though
    # the mean is 4.
    short = chunk_s * (1 + TAIL * spread) < SHORT_CHUNK_S
    return PREFETCH if short or chunks_left > PREFETCH * workers else 1


def overrun_s(expected_s: float) -> float:
    """Seconds after which a block that should take `expected_s` is recalled."""
    return OVERRUN * expected_s + FIRST_BLOCK_S


def review_after(elapsed_s: float) -> float:
    """Seconds until the plan is looked at again without a special cause.

    A tenth of the run so far, between 2 ms and half a second: a review costs about 0.1 ms, so
    all of them together stay under 1 % of a run that is longer than a tenth of a second.
    """
    return min(0.5, max(0.002, elapsed_s / 10))
