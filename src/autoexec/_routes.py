"""The names of the ways to run calls."""

from __future__ import annotations

from typing import Literal

Route = Literal["inline", "threads", "processes", "asyncio", "hybrid", "external", "dask", "ray"]
"""A way to run calls. `inline` is one call at a time in this process."""

Lane = Literal["inline", "threads", "processes", "asyncio", "hybrid", "external", "dask", "ray"]
"""An executor behind the seam. Under `auto` the route `inline` is served by one helper thread of
the lane `threads`, because only a call on another thread can be watched while it runs."""

PROCESSES: tuple[Lane, ...] = ("processes", "hybrid")
"""Those whose calls run in other processes of this machine."""

REMOTE: tuple[Lane, ...] = ("dask", "ray")
"""Those of a cluster, to which items go in batches."""
