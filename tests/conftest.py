"""What every test begins with."""

from __future__ import annotations

import os
import signal
import sys

import clusters
import pytest
from hypothesis import settings

from autoexec import _priors
from autoexec._routes import REMOTE

# Where bytecode may not be kept, each of the thousand interpreters that tests start would compile the
# library anew, for 0.4 s.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell starts what it runs in the background with Ctrl-C ignored, which programs of the tests, that are
# interrupted, would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nothing_learned() -> None:
    """No test goes by what another has shown of a function."""
    _priors.forget()


settings.register_profile("quick", max_examples=30, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a cluster share one process of pytest-xdist, so that it is started once only."""
    for item in items:
        for engine in REMOTE:
            if engine in item.name:
                item.add_marker(pytest.mark.xdist_group(engine))


@pytest.fixture(autouse=True)
def _a_cluster_for_those_who_name_one(request: pytest.FixtureRequest) -> None:
    callspec = getattr(request.node, "callspec", None)
    wanted = callspec.params.get("backend") if callspec else None
    if isinstance(wanted, str) and wanted in REMOTE:
        clusters.backend(wanted)
