"""Run one row on one backend: `python run_row.py B1 processes`. Ends with 0 if it was survived."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
import traceback
import uuid
from pathlib import Path

import lab
import rows
import traces
from register import Row

SKIPPED = 77


def survive(row: Row, backend: str) -> None:
    """Provoke the fault, then see that the next call works and nothing is left.

    Raises:
        lab.Wrong: It was not survived.
        lab.Skip: It cannot be provoked here.
    """
    traces.record_unseen()
    lab.forget_notes()
    for name in row.imports:  # what starts threads at its import is not of the row's doing
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    before = traces.look()
    traces.watch(row.limit_s)
    row.run(backend)
    lab.next_call(backend)
    left = traces.left_since(before)
    lab.require(not left, f"left after {traces.GRACE_S:g} s: {'; '.join(left)}")
    lab.require(not traces.unseen, "; ".join(traces.unseen))


def main(name: str, backend: str) -> int:
    """Run a row in a folder of its own, which also holds all temporary files.

    Returns:
        The exit code.
    """
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        os.environ |= {
            "TMPDIR": str(temporary),
            lab.CALLS: str(Path(folder, "calls")),
            "AUTOEXEC_IDLE_SECONDS": "0.3",  # else each row would wait for a second at its end
            traces.MARK: os.environ.get(traces.MARK) or uuid.uuid4().hex,
        }
        os.chdir(folder)
        os.chmod(folder, 0o777)
        tempfile.tempdir = None  # found anew
        try:
            survive(rows.ROWS[name], backend)
        except lab.Skip as skip:
            print(f"needs {skip}")
            return SKIPPED
        except Exception as exc:  # of whatever kind: the row was not survived
            traceback.print_exc()
            print(exc if isinstance(exc, lab.Wrong) else f"{type(exc).__name__}: {exc}")
            return 1
        finally:
            os.chdir("/")
    print("survived")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
