"""Files of the kernel's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from autoexec import _proc


def test_a_file_is_read_whole_or_as_much_of_it_as_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"MemTotal: 12 kB\n")
    assert _proc.read(str(path), 100) == b"MemTotal: 12 kB\n"
    assert _proc.read(str(path), 8) == b"MemTotal"


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert _proc.read(str(tmp_path / "none"), 100) == b""
    assert _proc.read(str(tmp_path), 100) == b""  # a folder can be opened


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists descriptors")
def test_nothing_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path, tmp_path / "none", "/proc/self/status"):
        _proc.read(str(path), 100)
    assert os.listdir("/proc/self/fd") == before
