"""What goes to a cluster: in batches of which size, and how many calls at once within one. Pure.

The first calls run here, where they can be watched. With w seconds a call, T calls at once within a
batch, N threads in the cluster and d seconds that a batch costs on its way, a batch has

    k = clamp(max(50, 2 N) d T / w, 1, R / (x N))

of the R items that are left: dispatch stays under a fiftieth of the work, and all threads together ask
the scheduler for no more than half of the batches that it can hand out. x is 2, 4 or 8 as the calls
vary more; never more than 1 MiB of payload.
"""

from __future__ import annotations

import math

from ._alternatives import HYBRID_WIDTH
from ._classify import WAITING
from ._control import PREFETCH, share_of
from ._options import Settings
from ._types import Kind, Lane, Plan, Profile
from ._wording import count

SAMPLE = 3
"""Calls that run here first: the first pays for imports, the second replaces it, the third confirms."""
LONG_SAMPLE_S = 0.25
"""A first call that has run here for so long is not waited for: whether it waits or computes is clear."""
BATCH_TRIP_S = 0.006
"""What a batch costs, between the two engines: CPU of the caller and a scheduler in its process came to
9 ms through Dask (3 for a bare task) and to 4 through Ray (`benchmarks/engines.py`)."""
LARGEST_BYTES = 1 << 20
"""Payload of a batch. Larger ones take the scheduler of a cluster longer than what they save."""


def plan(profile: Profile, settings: Settings, kind: Kind) -> Plan:
    """The plan of a run on a cluster that was asked for."""
    lane: Lane = "dask" if settings.route == "dask" else "ray"
    width = _width(profile, settings, kind)
    batches = _batches(profile, settings, width)
    capacities: dict[Lane, int] = {lane: batches}
    if not _sampled(profile, settings, kind):
        capacities["threads"] = 1
        why = "the first calls run here, to see which batches suit them"
    elif width > 1:
        why = f"the calls wait, so up to {width} of a batch run at once in its worker"
    else:
        why = "the calls of a batch run one after another in its worker"
    if profile.cluster_threads:
        why = f"{count(profile.cluster_threads, 'thread')} of the cluster take batches; {why}"
    workers = min(profile.cluster_threads or batches, batches) * width
    reason = f"backend={lane!r} was asked for; {why}"
    return Plan(lane, kind, workers, capacities, None, reason, width=width)


def _sampled(profile: Profile, settings: Settings, kind: Kind) -> bool:
    """Whether enough was seen here; nothing need be where the size of a batch is given, and nothing
    can be where calls need what an initializer does in workers."""
    asked = settings.chunksize != "auto" or settings.initializer is not None
    if asked or profile.elapsed_s >= LONG_SAMPLE_S:
        return True
    unclear = kind is Kind.CPU_HELD and profile.gil_share is None
    return profile.calls >= SAMPLE and not unclear


def alone(profile: Profile, kind: Kind) -> bool:
    """Whether batches would only take turns within one process."""
    return kind is Kind.CPU_HELD and profile.gil_share is not None


def _width(profile: Profile, settings: Settings, kind: Kind) -> int:
    """Calls at once within a batch: twice what keeps a core busy, since calls do not end evenly."""
    if kind not in WAITING or settings.max_per_second is not None:
        return 1  # what is sent beyond a limit on starts would start
    enough = math.ceil(2 * profile.wall_s / max(1e-6, profile.cpu_s))
    return max(1, min(HYBRID_WIDTH, enough, settings.max_workers or enough))


def _batches(profile: Profile, settings: Settings, width: int) -> int:
    """Batches in flight: one runs and one waits for each thread, but none waits that might start
    against a limit of calls at once."""
    threads = max(1, profile.cluster_threads)
    if settings.max_workers is not None:
        return min(threads, max(1, settings.max_workers // width))
    certain = profile.calls > 0 and settings.max_per_second is None
    return threads * PREFETCH if certain else threads


def batch_size(profile: Profile, *, wall_s: float, width: int, remaining: int | None) -> int:
    """Items in one batch.

    Args:
        profile: Threads of the cluster, how calls vary, what they carry.
        wall_s: Mean seconds of a call.
        width: Calls at once within a batch.
        remaining: Items left; None if that is not known.
    """
    threads = max(1, profile.cluster_threads)
    rest = profile.done if remaining is None else remaining
    by_cost = math.ceil(max(50, 2 * threads) * BATCH_TRIP_S * width / max(wall_s, 1e-9))
    by_rest = rest // (share_of(profile.spread) * threads)
    by_rest = max(by_rest, min(width, rest // threads))  # threads within a batch are for a batch
    payload = profile.payload
    item_bytes = payload.item_bytes + payload.result_bytes if payload else 0
    return max(1, min(by_cost, by_rest, LARGEST_BYTES // max(1, item_bytes)))
