"""How a process ended, in words."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autoexec._children import reap
from autoexec._pool.death import describe_exit


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_exit_is_told_by_its_code_or_its_signal() -> None:
    assert describe_exit(0) == "exited with code 0"
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-11) == "was killed by SIGSEGV"
    assert describe_exit(-200) == "was killed by signal 200"


@pytest.mark.skipif(os.name == "nt", reason="a process can be waited for twice")
def test_of_a_process_that_somebody_else_has_waited_for_the_exit_code_is_not_known() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import os; os.abort()"])
    os.waitpid(process.pid, 0)
    assert reap(process, 60)
    assert process.returncode is not None  # its number is not signalled any more
    assert "its exit code is not known" in describe_exit(process.returncode)
