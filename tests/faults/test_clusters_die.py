"""Workers of a cluster that die in the middle of a run, in a process of its own under a deadline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="faults of POSIX")

PROGRAM = """
import os, signal, sys, time
from collections import Counter
from pathlib import Path

sys.path.insert(0, sys.argv[3])
import clusters
from autoexec import Failure, WorkerDied, run_parallel

COUNT = 10_000
FATAL = COUNT // 2  # the first few run in this process
engine, log = sys.argv[1], Path(sys.argv[2])
file = str(log)


def work(index):
    with open(file, "a") as out:  # one write of a few bytes, which is not torn
        out.write(f"{index}\\n")
    if index == FATAL:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.002)
    return index * 3


if __name__ == "__main__":
    backend = clusters.backend(engine)
    results = run_parallel(work, range(COUNT), backend=backend, on_error="return")
    assert len(results) == COUNT
    called = Counter(map(int, log.read_text().split()))
    assert max(called.values()) == 1, "an item was called twice"
    lost = [one for one in results if isinstance(one, Failure)]
    assert all(isinstance(one.exception, WorkerDied) for one in lost), lost[:3]
    assert all(results[one.index] is one for one in lost)
    assert all(one == i * 3 and called[i] for i, one in enumerate(results) if not isinstance(one, Failure))
    assert isinstance(results[FATAL], Failure)
    assert len(lost) < COUNT // 2, len(lost)
    print("survived", len(lost), "lost")
"""


ENGINES = ["dask", "ray"] if os.environ.get("FAULTS_FULL") else ["dask"]
"""Ray takes twenty seconds, most of them to start."""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_killed_amid_ten_thousand_items_costs_no_item_a_second_call(
    engine: str, tmp_path: Path
) -> None:
    pytest.importorskip("distributed" if engine == "dask" else "ray")
    tests = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, engine, str(tmp_path / "log"), str(tests)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    assert "survived" in done.stdout
