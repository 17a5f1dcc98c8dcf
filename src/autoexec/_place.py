"""Where this process stands: whether it is a worker, and what share of the machine it has."""

from __future__ import annotations

is_worker = False
"""This is a worker process of ours. Set once, before any user code runs."""
cores: int | None = None
"""The cores that this worker may use by itself; None elsewhere."""
