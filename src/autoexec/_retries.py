"""Which items are tried again after an error, and when. Pure, but for the policy of the caller."""

from __future__ import annotations

import math

from ._errors import NotPicklable, RunAborted, short_repr
from ._options import Retry


class PolicyFailed(RunAborted):
    """The function given as `retries` raised an error or gave something other than seconds."""


class Retries:
    """The attempts of items that have failed and are not settled yet.

    Args:
        policy: How often an item is tried again, or a function of the error and the number of
            attempts so far, which gives the seconds until the next or None.
    """

    def __init__(self, policy: Retry) -> None:
        self.on = policy != 0
        self.count = 0
        """Attempts after the first, of all items."""
        self._policy = policy
        self._attempts: dict[int, int] = {}

    def wait_s(self, index: int, error: BaseException) -> float | None:
        """Seconds after which the item at `index`, which has failed, is tried again; None: not.

        What is no `Exception` is meant for the program, not for the item: Ctrl-C, `sys.exit`. What
        cannot be pickled now cannot be later.

        Raises:
            PolicyFailed: The policy did.
        """
        if not isinstance(error, Exception) or isinstance(error, NotPicklable):
            return None
        attempt = self._attempts[index] = self._attempts.get(index, 0) + 1
        if isinstance(self._policy, int):
            wait_s = 0.0 if attempt <= self._policy else None
        else:
            wait_s = self._ask(index, error, attempt)
        if wait_s is not None:
            self.count += 1
        return wait_s

    def _ask(self, index: int, error: Exception, attempt: int) -> float | None:
        assert callable(self._policy)
        try:
            wait_s = self._policy(error, attempt)
        except Exception as exc:
            raise PolicyFailed(
                f"The retries policy raised {short_repr(exc)} when it was asked about item {index},"
                f" whose attempt {attempt} ended with {short_repr(error)}."
            ) from exc
        if wait_s is None:
            return None
        number = isinstance(wait_s, (int, float)) and not isinstance(wait_s, bool)
        if not number or not 0 <= wait_s < math.inf:
            raise PolicyFailed(
                f"The retries policy must return seconds to wait, or None to stop, but returned"
                f" {short_repr(wait_s)} for item {index}."
            )
        return float(wait_s)

    def settled(self, index: int) -> int:
        """An item has its outcome. Returns how many of its attempts have failed."""
        return self._attempts.pop(index, 0)
