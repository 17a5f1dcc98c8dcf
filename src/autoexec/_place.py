"""Where this process stands: whether it is a worker, and what share of the machine it has; and whether this
code runs in a batch on somebody's cluster."""

from __future__ import annotations

from contextvars import ContextVar

is_worker = False
"""This is a worker process of ours. Set once, before any user code runs."""
cores: int | None = None
"""The cores that this worker may use by itself; None elsewhere."""
in_batch: ContextVar[bool] = ContextVar("autoexec_in_batch", default=False)
"""This is a call of a batch. One that sent batches itself, and waited, would hold the thread that they need:
with as many of those as there are threads, none would ever go on."""
