"""A backend of joblib, on the worker processes of this package: importing this registers it.

    import autoexec.joblib
    import joblib

    with joblib.parallel_config(backend="autoexec"):
        scores = cross_val_score(model, x, y)

Batches go to worker processes; they are not measured first, unlike the calls of a run. What libraries
hand to joblib is made for processes: it changes its own arguments (scikit-learn fits the very
estimators that it passes) and relies on nobody seeing that, so calls measured here would be tied to
this process as soon as the first had changed its item. If you know that a call releases the GIL,
pass `prefer="threads"`, which is respected.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

try:
    from joblib.parallel import (
        AutoBatchingMixin,
        FallbackToBackend,
        ParallelBackendBase,
        SequentialBackend,
        ThreadingBackend,
        register_parallel_backend,
    )
except ImportError as _missing:
    raise ImportError(
        f"autoexec.joblib needs joblib 1.5 or later: pip install 'autoexec-parallel[joblib]' ({_missing})."
    ) from _missing

from . import _host
from ._calls import Calls
from ._pool import shared

NAME = "autoexec"


class AutoexecBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """What joblib asks of a backend; one serves the calls of `Parallel` within a `parallel_config`.

    Args:
        nesting_level: How deep in other calls of `Parallel`; joblib sets it.
        inner_max_num_threads: Threads that native libraries (BLAS, OpenMP) start in each worker.
            Default: cores ÷ `n_jobs`, unless environment variables say otherwise.
    """

    default_n_jobs = -1
    """All cores, unless the caller says how many."""
    supports_inner_max_num_threads = True
    supports_retrieve_callback = True
    parallel: Any
    """The call of `Parallel` that was configured last."""

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._width = 1
        self._calls: Calls | None = None

    # Pyright takes the base's methods, which are not typed, to return None.
    def effective_n_jobs(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, n_jobs: int | None
    ) -> int:
        """How many batches run at once.

        Args:
            n_jobs: As joblib has it: -1 for all cores, -2 for all but one, and so on.

        Raises:
            ValueError: It is 0.
        """
        if n_jobs == 0:
            raise ValueError(
                "n_jobs == 0 in Parallel has no meaning: pass 1 or more, or -1 for all."
            )
        wanted = self.default_n_jobs if n_jobs is None else n_jobs
        return wanted if wanted > 0 else max(1, _host.cores() + 1 + wanted)

    def configure(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        n_jobs: int | None = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **ignored: Any,
    ) -> int:
        """Get ready for a call of `Parallel`. Workers are started by the first batch.

        Args:
            n_jobs: Batches at once.
            parallel: Who calls.
            prefer: A hint of who wrote the call; "threads" is heeded.
            require: Not for us: joblib itself sees to what must share memory.
            ignored: What other backends take, such as where to keep memory-mapped files.

        Returns:
            Batches at once.

        Raises:
            FallbackToBackend: By which joblib goes on with another of its backends.
        """
        width = self.effective_n_jobs(n_jobs)
        if width == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if prefer == "threads" or _host.why_no_processes() is not None:
            raise FallbackToBackend(ThreadingBackend(nesting_level=self.nesting_level))
        if width != self._width:
            self.terminate()
        self.parallel, self._width = parallel, width
        return width

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Future[Any]], Any] | None = None
    ) -> Future[Any]:
        """Let a worker run a batch.

        Args:
            func: The batch.
            callback: Called with its future when it is done, on a thread that is not the caller's.
        """
        if self._calls is None:  # also where a generator goes on beside a call that has ended
            self._calls = Calls(self._pool(), self._width, own=False)
        future = self._calls.submit(func, (), {})
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def _pool(self) -> Any:
        """Workers as warm as those of runs, whose native libraries have the threads that they should."""
        narrow = self._width < _host.cores()
        return shared.get(self._width if narrow else None, self.inner_max_num_threads)

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch that is done, or its error."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel batches that no worker has, and end the others with their worker.

        Args:
            ensure_ready: More may come; they get workers of their own then in any case.
        """
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.abandon()

    def terminate(self) -> None:
        """A call of `Parallel` is over. The workers wait a moment for the next."""
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.close()
        self.reset_batch_stats()


register_parallel_backend(NAME, AutoexecBackend)
