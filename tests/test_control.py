"""The feedback policies: their bounds, and which way they move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import durations, examples, magnitudes, shares

from autoexec._control import (
    DEAR_S,
    FIRST_BLOCK_S,
    KEPT_FOR,
    LONGEST_BLOCK_S,
    LONGEST_IDLE_S,
    PREFETCH,
    SHORT_CHUNK_S,
    TASK_CHUNKS,
    TASKS,
    block_size,
    chunk_size,
    idle_after_miss,
    idle_s,
    overrun_s,
    prefetch,
    review_after,
    tasks_size,
)

MIB = 1 << 20
MS = 1e-3
US = 1e-6


def counts(least: int = 0) -> st.SearchStrategy[int]:
    """Numbers of items, few or many."""
    return magnitudes(-1, 8).map(lambda count: max(least, int(count)))


# --- Blocks, run one after another -----------------------------------------------------------------


@given(durations(), st.integers(0, 5), st.none() | counts())
@examples(200)
def test_a_block_has_an_item_and_none_that_is_not_there(
    wall_s: float, blocks: int, remaining: int | None
) -> None:
    size = block_size(wall_s, blocks, remaining)
    assert size >= 1
    if remaining:
        assert size <= remaining


@given(durations(), st.integers(0, 5), st.none() | counts())
@examples(200)
def test_a_block_of_several_calls_is_short(
    wall_s: float, blocks: int, remaining: int | None
) -> None:
    size = block_size(wall_s, blocks, remaining)
    if size > 1:
        # As long again at the end, rather than a second dispatch.
        assert size * wall_s <= 2 * LONGEST_BLOCK_S * (1 + 1e-9)


@given(durations(), durations(), st.integers(0, 5), st.none() | counts())
@examples(200)
def test_slower_calls_never_make_larger_blocks(
    one: float, other: float, blocks: int, remaining: int | None
) -> None:
    quick, slow = sorted([one, other])
    assert block_size(slow, blocks, remaining) <= block_size(quick, blocks, remaining)


@given(durations(), st.none() | counts())
@examples(100)
def test_blocks_grow_once_calls_are_known(wall_s: float, remaining: int | None) -> None:
    sizes = [block_size(wall_s, blocks, remaining) for blocks in range(5)]
    assert sizes == sorted(sizes)


def test_blocks_aim_at_two_milliseconds_then_at_twenty() -> None:
    assert block_size(10 * US, 1, None) == pytest.approx(FIRST_BLOCK_S / (10 * US), abs=1)
    assert block_size(10 * US, 2, None) == pytest.approx(LONGEST_BLOCK_S / (10 * US), abs=1)


@pytest.mark.parametrize(("remaining", "size"), [(39, 39), (40, 40), (41, 20), (1000, 20)])
def test_a_short_rest_goes_along_with_the_last_block(remaining: int, size: int) -> None:
    assert block_size(1 * MS, 5, remaining) == size


# --- Chunks, sent to workers -----------------------------------------------------------------------

chunks = given(
    durations(), durations(), shares(most=3), counts(), st.integers(1, 64), counts(least=1)
)


@chunks
@examples(200)
def test_a_chunk_has_an_item_and_at_most_half_the_share_of_its_worker(
    wall_s: float, trip_s: float, spread: float, remaining: int, workers: int, item_bytes: int
) -> None:
    size = chunk_size(wall_s, trip_s, spread, remaining, workers, item_bytes)
    assert size >= 1
    if size > 1:
        assert 2 * workers * size <= remaining


@chunks
@examples(200)
def test_a_chunk_of_several_items_is_at_most_a_mebibyte(
    wall_s: float, trip_s: float, spread: float, remaining: int, workers: int, item_bytes: int
) -> None:
    size = chunk_size(wall_s, trip_s, spread, remaining, workers, item_bytes)
    if size > 1:
        assert size * item_bytes <= MIB


@chunks
@examples(200)
def test_a_chunk_is_no_larger_than_keeps_dispatch_under_two_percent(
    wall_s: float, trip_s: float, spread: float, remaining: int, workers: int, item_bytes: int
) -> None:
    size = chunk_size(wall_s, trip_s, spread, remaining, workers, item_bytes)
    if size > 1 and wall_s:
        assert (size - 1) * wall_s <= 50 * trip_s * (1 + 1e-9)


@given(
    st.lists(durations(), min_size=2, max_size=2).map(sorted),
    st.lists(durations(), min_size=2, max_size=2).map(sorted),
    st.lists(shares(most=3), min_size=2, max_size=2).map(sorted),
    st.lists(counts(), min_size=2, max_size=2).map(sorted),
    st.lists(st.integers(1, 64), min_size=2, max_size=2).map(sorted),
    st.lists(counts(least=1), min_size=2, max_size=2).map(sorted),
)
@examples(200)
def test_what_speaks_for_small_chunks_never_makes_them_larger(
    wall_s: list[float],
    trip_s: list[float],
    spread: list[float],
    remaining: list[int],
    workers: list[int],
    item_bytes: list[int],
) -> None:
    large = chunk_size(wall_s[0], trip_s[1], spread[0], remaining[1], workers[0], item_bytes[0])
    small = chunk_size(wall_s[1], trip_s[0], spread[1], remaining[0], workers[1], item_bytes[1])
    assert small <= large


@pytest.mark.parametrize(
    ("changed", "size"),
    [
        pytest.param({}, 13, id="fifty trips of 250 µs by calls of 1 ms"),
        pytest.param({"wall_s": 1.0}, 1, id="long calls"),
        pytest.param({"remaining": 40}, 5, id="the end is near"),
        pytest.param({"remaining": 40, "spread": 0.5}, 2, id="calls that vary"),
        pytest.param({"remaining": 40, "spread": 2.0}, 1, id="calls that vary much"),
        pytest.param({"item_bytes": 300_000}, 3, id="large items"),
        pytest.param({"item_bytes": 5 * MIB}, 1, id="an item that is too large by itself"),
    ],
)
def test_chunk_sizes(changed: dict[str, float], size: int) -> None:
    usual = {"wall_s": 1 * MS, "trip_s": 250 * US, "spread": 0.0}
    counted = {"remaining": 10_000, "workers": 4, "item_bytes": 100}
    assert chunk_size(**(usual | counted | changed)) == size  # type: ignore[arg-type]


@pytest.mark.parametrize(("spread", "size"), [(0.29, 10), (0.3, 5), (0.99, 5), (1.0, 2)])
def test_calls_that_vary_are_dealt_out_in_smaller_chunks(spread: float, size: int) -> None:
    assert chunk_size(1 * US, 1.0, spread, remaining=80, workers=4, item_bytes=1) == size


@given(durations(), durations(), st.floats(0.0, 20.0), magnitudes(0, 4), st.integers(1, 256))
@examples(50)
def test_long_chunks_are_never_held_ready_in_larger_numbers(
    one: float, other: float, spread: float, left: float, workers: int
) -> None:
    short, long = sorted([one, other])
    assert 1 <= prefetch(long, spread, left, workers) <= prefetch(short, 0.0, left, workers)
    assert prefetch(short, 0.0, left, workers) <= PREFETCH


def test_towards_the_end_only_short_chunks_are_held_ready() -> None:
    assert prefetch(3600.0, 0.0, 9, 4) == PREFETCH
    assert prefetch(3600.0, 0.0, 8, 4) == 1
    assert prefetch(SHORT_CHUNK_S, 0.0, 8, 4) == 1
    assert prefetch(SHORT_CHUNK_S / 2, 0.0, 0, 4) == PREFETCH
    assert prefetch(SHORT_CHUNK_S / 2, 1.0, 0, 4) == 1  # one of them may be long


# --- When to look again ------------------------------------------------------------------------------


@given(durations())
@examples(50)
def test_a_block_is_recalled_only_well_after_it_was_expected(expected_s: float) -> None:
    assert 2 * expected_s < overrun_s(expected_s) <= 2 * expected_s + 0.01


@given(durations(), durations())
@examples(100)
def test_reviews_become_rarer_within_bounds(one: float, other: float) -> None:
    early, late = sorted([one, other])
    assert 0.002 <= review_after(early) <= review_after(late) <= 0.5


def test_reviews_follow_each_other_by_a_tenth_of_the_run() -> None:
    assert review_after(1.0) == pytest.approx(0.1)


# --- Idle workers ----------------------------------------------------------------------------------------


@given(durations(), durations())
@examples(200)
def test_workers_that_were_missed_last_twice_as_long_the_next_time(
    gap_s: float, kept_s: float
) -> None:
    longer_s = idle_after_miss(gap_s, kept_s)
    assert kept_s <= longer_s <= max(kept_s, LONGEST_IDLE_S)
    if gap_s <= LONGEST_IDLE_S:
        assert longer_s >= min(2 * gap_s, LONGEST_IDLE_S)
    else:  # nobody comes back in time
        assert longer_s == kept_s


@given(durations(), durations())
@examples(200)
def test_the_more_workers_have_cost_the_longer_they_are_kept(kept_s: float, start_s: float) -> None:
    longer_s = idle_s(kept_s, start_s)
    assert kept_s <= longer_s <= max(kept_s, LONGEST_IDLE_S)
    assert idle_s(kept_s, 2 * start_s) >= longer_s
    if start_s < DEAR_S:
        assert longer_s == kept_s
    else:
        assert longer_s >= min(KEPT_FOR * start_s, LONGEST_IDLE_S)


@given(st.integers(1, 100_000))
def test_tasks_go_in_chunks_that_leave_no_place_free_for_long(limit: int) -> None:
    size = tasks_size(limit)
    assert 1 <= size <= TASKS
    assert size == 1 or TASK_CHUNKS * size <= limit
    assert tasks_size(limit + 1) >= size
