"""Traffic over time: what each side answered, in equal buckets, from the router's access log."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping

from crossfade.errors import UsageError
from crossfade.plans.values import Frozen
from crossfade.routers.base import SideStats
from crossfade.stores.base import Side

Stats = Callable[[float, float], Mapping[Side, SideStats]]
"""`crossfade.routers.base.Router.stats`: what each side answered from one Unix second to another."""

_LENGTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)


class SideTraffic(Frozen):
    """What one side answered in a bucket: requests a second, the share of errors (0 to 1) and the 95th
    percentile in milliseconds; the last two are None when there were no requests."""

    requests: int = 0
    per_second: float = 0.0
    errors: int = 0
    error_rate: float | None = None
    p95: float | None = None


class Bucket(Frozen):
    """A span of time that begins at ``at`` and takes ``seconds``."""

    at: datetime.datetime
    seconds: float
    old: SideTraffic = SideTraffic()
    new: SideTraffic = SideTraffic()


def traffic_over(
    stats: Stats, since: datetime.datetime, until: datetime.datetime, *, most: int = 120
) -> tuple[Bucket, ...]:
    """At most ``most`` buckets from ``since`` to ``until``, without those before the first request and after
    the last one; each begins at a round time.  ``UsageError`` for moments without a zone."""
    if since.tzinfo is None or until.tzinfo is None:
        raise UsageError("a moment without a zone is ambiguous", where="report/since")
    begin, end = since.timestamp(), until.timestamp()
    if end <= begin:
        return ()
    length = next(
        (one for one in _LENGTHS if (end - begin) / one <= most - 1), math.ceil((end - begin) / most)
    )
    first = math.floor(begin / length) * length
    found: list[Bucket] = []
    stats(begin, begin)  # all of it is read once; what follows is answered from memory
    for number in range(most):
        low = first + number * length
        if low >= end:
            break
        high = min(low + length, end)
        sides = stats(max(low, begin), high)
        took = high - max(low, begin)
        found.append(
            Bucket(
                at=datetime.datetime.fromtimestamp(low, until.tzinfo),
                seconds=length,
                old=_side(sides[Side.OLD], took),
                new=_side(sides[Side.NEW], took),
            )
        )
    busy = [index for index, one in enumerate(found) if one.old.requests or one.new.requests]
    return tuple(found[busy[0] : busy[-1] + 1]) if busy else ()


def _side(stats: SideStats, seconds: float) -> SideTraffic:
    p95 = None
    if stats.durations:
        import numpy as np  # only a report with traffic needs it

        p95 = round(float(np.percentile(np.asarray(stats.durations), 95)) * 1000, 3)
    return SideTraffic(
        requests=stats.requests,
        per_second=stats.requests / seconds if seconds > 0 else 0.0,
        errors=stats.errors,
        error_rate=stats.errors / stats.requests if stats.requests else None,
        p95=p95,
    )
