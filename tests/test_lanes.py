"""What is in flight where, and who shares an interpreter with whom."""

from __future__ import annotations

from autoexec._chunk import Chunk
from autoexec._lanes import Lanes


def sent(lanes: Lanes, lane: str, count: int) -> list[Chunk]:
    chunks = [Chunk(i, [i], lane, lane) for i in range(count)]  # type: ignore[arg-type]
    for chunk in chunks:
        lanes.add(chunk)
    return chunks


def test_the_counts_are_those_of_what_is_in_flight() -> None:
    lanes = Lanes()
    threads, tasks, away = (
        sent(lanes, "threads", 3),
        sent(lanes, "asyncio", 2),
        sent(lanes, "processes", 4),
    )
    assert (lanes.count, lanes.local, lanes.here, lanes.peak) == (9, 3, 5, 9)
    for chunk in (threads[0], tasks[0], away[0]):
        lanes.remove(chunk)
    assert (lanes.count, lanes.local, lanes.here, lanes.peak) == (6, 2, 3, 9)


def test_each_task_of_a_chunk_takes_a_place_until_it_has_ended() -> None:
    lanes = Lanes()
    chunk = Chunk(0, [1, 2, 3], "asyncio", "asyncio")
    lanes.add(chunk)
    sent(lanes, "threads", 2)
    assert (lanes.count, lanes.here, lanes.at_once, lanes["asyncio"].calls) == (3, 5, 5, 3)
    assert chunk.crowd == 3
    chunk.done += 2
    lanes.ended(chunk, 2)
    assert (lanes.count, lanes.here, lanes.at_once, lanes["asyncio"].calls) == (3, 3, 3, 1)
    lanes.remove(chunk)  # whatever has become of the last one
    assert (lanes.count, lanes.here, lanes.at_once, lanes["asyncio"].calls) == (2, 2, 2, 0)
    assert lanes.peak == 5


def test_chunks_of_several_on_threads_are_known() -> None:
    lanes = Lanes()
    several = Chunk(0, [1, 2], "threads", "threads")
    for chunk in (
        several,
        Chunk(2, [3], "threads", "threads"),
        Chunk(3, [4, 5], "processes", "processes"),
    ):
        lanes.add(chunk)
    assert list(lanes.longer) == [several]
    lanes.remove(several)
    assert not lanes.longer


def test_the_oldest_has_had_those_beside_it_that_were_there_when_it_was_sent() -> None:
    lanes = Lanes()
    assert lanes.oldest_crowd == 0
    chunks = sent(lanes, "threads", 3)
    for chunk in chunks[:2]:
        lanes.remove(chunk)
    assert (lanes.here, lanes.oldest_crowd) == (1, 3)
    sent(lanes, "threads", 4)
    assert lanes.oldest_crowd == 5


def test_the_first_call_that_a_worker_was_sent_is_not_alone_in_it() -> None:
    lanes = Lanes()
    lanes["hybrid"].workers, lanes["hybrid"].width = 2, 8
    chunks = sent(lanes, "hybrid", 10)
    assert [lanes.crowd(chunk) for chunk in chunks] == [5] * 10
    for chunk in chunks[1:]:
        lanes.remove(chunk)
    assert lanes.crowd(chunks[0]) == 5  # it has had them beside it
    sent(lanes, "hybrid", 40)
    assert lanes.crowd(chunks[0]) == 8  # the others wait there for one to end


def test_a_task_has_had_those_beside_it_that_were_begun_after_it() -> None:
    lanes = Lanes()
    chunks = sent(lanes, "asyncio", 12)
    assert [lanes.crowd(chunk) for chunk in chunks] == list(range(1, 13))
    assert [lanes.most_beside(chunk, 1) for chunk in chunks] == [12] * 12
    for chunk in chunks[1:]:
        lanes.remove(chunk)
    (later,) = sent(lanes, "asyncio", 1)
    assert lanes.most_beside(later, 2) == 2  # not those before its time
    assert lanes.most_beside(sent(lanes, "threads", 3)[0], 1) == 1


def test_those_that_wait_for_one_of_the_others_are_in_line() -> None:
    lanes = Lanes()
    assert lanes.in_line == 0
    assert not lanes, "nothing is asked for by looking"
    chunks = sent(lanes, "threads", 10)
    sent(lanes, "asyncio", 2)
    assert (lanes.in_line, lanes.begun) == (0, 12), "it was not opened yet"
    lanes["threads"].open(8)
    assert (lanes.in_line, lanes.begun) == (2, 10)
    lanes.remove(chunks[0])
    assert (lanes.in_line, lanes.begun) == (1, 10)
    sent(lanes, "threads", 5)
    assert lanes.peak == 12, "they do not run at once with the others"


def test_those_beyond_fewer_places_have_begun_all_the_same() -> None:
    lanes = Lanes()
    lanes["threads"].open(8)
    chunks = sent(lanes, "threads", 10)
    lanes["threads"].open(3)
    assert lanes.in_line == 2
    lanes["threads"].open(2)
    for left in range(9, 1, -1):
        lanes.remove(chunks.pop())
        assert lanes.in_line == min(2, left - 2), "none of them begins before two are left"
    chunks += sent(lanes, "threads", 1)
    assert lanes.in_line == 1, "there are two places by now"
    lanes["threads"].open(8)
    assert lanes.in_line == 0
