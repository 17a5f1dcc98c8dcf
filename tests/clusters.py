"""Real clusters on this machine for tests, started when the first test needs one, and kept.

Everything listens on the loopback interface only, and no dashboard is served.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import warnings
from functools import cache
from typing import Any

import pytest

WORKERS = 2


@cache
def dask() -> Any:
    """A `Client` of a cluster of two worker processes with one thread each."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    cluster = distributed.LocalCluster(
        n_workers=WORKERS,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        silence_logs=50,
    )
    client = distributed.Client(cluster)
    atexit.register(_close, client, cluster)
    return client


def _close(*things: Any) -> None:
    for one in things:
        with contextlib.suppress(Exception):  # the interpreter is ending
            one.close()


@cache
def ray() -> Any:
    """The package Ray, connected to a cluster of two processors."""
    found = pytest.importorskip("ray", reason="needs the extra ray, or there is no wheel for here")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers read the tests' functions
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            logging_level="ERROR",
        )
    atexit.register(found.shutdown)
    return found


def backend(name: str) -> Any:
    """The backend of that name, with the cluster that it needs."""
    if name == "ray":
        ray()
    return dask() if name == "dask" else name
