"""A parallel map that finds out by itself whether work waits or computes.

    from autoexec import run_parallel

    results = run_parallel(fn, items)
    print(results.report)

The map of the package, from the top down; each module imports only from those below it:

    testing        the contract of an executor, as tests
    joblib         a backend for joblib
    _decorator     @parallel
    _forms         iter_parallel, arun_parallel, aiter_parallel: the same run, for other callers
    _api           run_parallel: a thin view of one run
    _config        options from `config` and from the environment
    _futures       ProcessPoolExecutor, a drop-in for the standard one, on the same workers
    _calls         calls without an outcome, of an executor that may be gone
    _arun          a run for an event loop, driven by a helper thread
    _stream        results one by one, driven by each `next` of the caller
    _collect       a run to its end, results in a list
    _account       what a run has done so far, as a report
    _run           one run, driven by the caller's thread; composes everything below
    _crew          the executors of a run
    _callee        the function that it calls, what its calls change here, what it takes to call it elsewhere
    _variables     variables of modules that a function reads, which a worker may not have as they are here
    _watching      what is seen of calls while it waits
    _clocks        what the clocks show of calls under way
    _pulled        inputs that a task or a thread pulls meanwhile
    _source        the input, and how items are taken from it
    _recorder      writes down what becomes of items, if that was asked for
    _records       what a run leaves behind: its journal for the next one, and its job log
    _journal       outcomes in a SQLite file
    _journal_file  that file: whether it may be used, and is whole
    _joblog        a line for each item, as of GNU parallel
    executors/     ways to run calls, one file each, behind one seam
    _batches       chunks as batches on a cluster, whatever its engine is
    _blocks        what came home from the executors of others, as blocks of outcomes
    _pool/         worker processes, and the supervision of them
    _worker/       the far side of a process
    _scheduler     a state machine without I/O: what happened goes in, what to do comes out
    _agenda        when the driver looks again, and which calls it watches; pure
    _preparing     what is opened, and found out, before calls go there; pure
    _breakage      what ends a run whose lane cannot be used any more; pure
    _feed          what is taken, sent to which lane, and called back; pure
    _planner       the plan in force, and when another takes its place; pure
    _comparison    calls that compute, on threads against one after another: when that is told; pure
    _outcomes      what becomes of items: results, failures, those to be tried again; pure
    _buffer        how many items may be between the input and the caller of an iterator; pure
    _dealer        how much goes where, in which sizes; pure
    _decide        decide(profile, host, settings) -> Plan: pure
    _cluster       what goes to a cluster, in which batches; pure
    _alternatives  the routes, each with its predicted time; pure
    _obstacles     what forbids a route, in words; pure
    _profile       outcomes and looks -> Profile
    _travel        what was seen of whether calls may run in other processes
    _own_time      how much of their time is their own, and not waited for the others beside them
    _call_times    how long calls take and compute: which are believed, and means of these
    _watched       the call that is watched by itself
    _heartbeat     the GIL heartbeat: its next beat, and what the beats tell of calls under way
    _gain          what threads gain for calls that compute, and who competes for the cores; pure
    _side_by_side  what calls do beside others: whether they wait for each other, or for cores
    _start_cost    what a worker process costs, and which calls are the first in one
    _classify      what a task is; pure
    _priors        what was learned about a function, for its next run
    _pace          when the plan is looked at again, how many waiting calls at once
    _ramp          how many waiting calls at once; pure
    _retries       which items are tried again, and when; pure
    _rate          how many calls may start now; pure
    _limits        what a call and a run may take; pure
    _actions       what the scheduler tells its driver to do
    _evidence      what looks show, added up: the GIL heartbeat, overlap, inner threads, children
    _mixture       whether a few calls take far longer than most
    _means         averages of what was measured
    _control       policies: sizes of chunks and blocks, when one has overrun, when to look again; pure
    _intake        items that were not sent yet; pure
    _window        outcomes in order, and what errors mean; pure
    _stored        outcomes as a journal keeps them; pure
    _digest        what tells items and functions apart, in every process; pure
    _effects       does a call change the caller's objects?
    _bytecode      does the code of a function say that it does?
    _caching       where code fills a cache, which is no such change
    _instructions  the instructions of a function's code, and the objects that they get at
    _ties          what ties a function to this process
    _reach         what a callable is made of, and what it can reach
    _payload       what it would take to run a function in another process
    _context       context variables of the caller, for calls in other processes
    _decimals      how the caller rounds decimals, the same
    _pickling      bytes of functions, items and results
    _seed          a random stream for each item
    _call          the one code path by which an item is run
    _progress      telling how far a run has come
    _report        what a run did and why; the list of results
    _phrases       what a report says of its records, in words; pure
    _card          a report as HTML
    _timeline      who ran what when: for Perfetto, and as SVG
    _ledger        what is written down of a run for its report
    _memory        when memory is looked at, and what that holds back; pure
    _room          how many calls memory has room for; pure
    _launch        how many waiting calls are started at once; pure
    _lanes         what is in flight where
    _host          the only reader of facts about the machine -> Host
    _children      child processes: workers of ours, and those that calls start
    _cgroup        limits of this process's cgroup, for `_host`
    _proc          files of the kernel's, such as those under /proc
    _checks        what a call is given, checked once: options, function, items
    _function      what kind of function it is, and adapters that make one call of it
    _options       the options: one definition
    _size          sizes of memory, as they are written
    _meant         what was meant by a wrong name, for errors; pure
    _wording       times and counts in words
    _failure       what stands in the place of a result
    _thread_cache  threads that wait a moment for more work
    _errors        the error classes
    _types         frozen records, and the seam that executors implement
    _chunk         what goes to those who run calls, and what comes back
    _routes        the names of the ways to run calls
    _place         where this process stands: a worker or not

Above all of these, and imported by none of them: the command line, `__main__` with `_cli/`, and its
comparison, `_compare/`.
"""

TYPE_CHECKING = False  # type checkers take it for that of `typing`
if TYPE_CHECKING:
    from ._api import run_parallel
    from ._arun import AsyncResultIterator
    from ._calls import InitializerFailed, NoWorkers
    from ._config import config
    from ._decorator import ParallelFunction, parallel
    from ._errors import (
        AutoexecError,
        DeadlineExceeded,
        ItemTimeout,
        JournalError,
        NotPicklable,
        RemoteError,
        RemoteTraceback,
        RunAborted,
        WorkerDied,
    )
    from ._failure import Failure
    from ._forms import aiter_parallel, arun_parallel, iter_parallel
    from ._futures import ProcessPoolExecutor
    from ._options import Options
    from ._report import Report, Results
    from ._seed import item_generator, item_random, item_seed
    from ._stream import ResultIterator
    from ._types import Kind, Plan, Profile

__all__ = [
    "AsyncResultIterator",
    "AutoexecError",
    "DeadlineExceeded",
    "Failure",
    "InitializerFailed",
    "ItemTimeout",
    "JournalError",
    "Kind",
    "NoWorkers",
    "NotPicklable",
    "Options",
    "ParallelFunction",
    "Plan",
    "ProcessPoolExecutor",
    "Profile",
    "RemoteError",
    "RemoteTraceback",
    "Report",
    "ResultIterator",
    "Results",
    "RunAborted",
    "WorkerDied",
    "aiter_parallel",
    "arun_parallel",
    "config",
    "item_generator",
    "item_random",
    "item_seed",
    "iter_parallel",
    "parallel",
    "run_parallel",
]

__version__ = "0.1.0"

# Names are imported when they are first asked for: a worker process, which imports this package for
# the sake of its own part, is up in half the time.
_HOMES = {
    "_api": ("run_parallel",),
    "_calls": ("InitializerFailed", "NoWorkers"),
    "_config": ("config",),
    "_decorator": ("ParallelFunction", "parallel"),
    "_errors": (
        "AutoexecError",
        "DeadlineExceeded",
        "ItemTimeout",
        "JournalError",
        "NotPicklable",
        "RemoteError",
        "RemoteTraceback",
        "RunAborted",
        "WorkerDied",
    ),
    "_arun": ("AsyncResultIterator",),
    "_failure": ("Failure",),
    "_forms": ("aiter_parallel", "arun_parallel", "iter_parallel"),
    "_futures": ("ProcessPoolExecutor",),
    "_options": ("Options",),
    "_report": ("Report", "Results"),
    "_seed": ("item_generator", "item_random", "item_seed"),
    "_stream": ("ResultIterator",),
    "_types": ("Kind", "Plan", "Profile"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
