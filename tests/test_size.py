"""Sizes of memory, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from autoexec._size import UNITS, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("2GB", 2 * 10**9),
        (" 2 gb ", 2 * 10**9),
        ("1.5GiB", 3 << 29),
        ("500 MB", 500 * 10**6),
        ("64 kib", 64 << 10),
        ("1TB", 10**12),
        ("10b", 10),
        ("80%", 0.8),
        ("80 %", 0.8),
        ("0.8", 0.8),
        ("-1", -1.0),
    ],
)
def test_sizes_are_read(text: str, size: int | float) -> None:
    read = parse_size(text)
    assert read == size
    assert type(read) is type(size)


@pytest.mark.parametrize("text", ["", "GB", "2 XB", "two GB", "2 GB 3", "5 G", "%", "1,000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_999, "1 MB"),
        (208_123_456, "208 MB"),
        (2_500_000_000, "2.5 GB"),
        (3 * 10**12, "3 TB"),
    ],
)
def test_sizes_are_written_to_three_figures(count: int, text: str) -> None:
    assert size_text(count) == text


@given(st.integers(0, 10**9), st.sampled_from(sorted(UNITS)))
@examples(100)
def test_what_is_written_is_read_again(count: int, unit: str) -> None:
    assert parse_size(f"{count}{unit.upper()}") == pytest.approx(count * UNITS[unit])
    written = size_text(count)
    if not written.endswith("bytes"):
        assert parse_size(written) == pytest.approx(count, rel=0.006)
