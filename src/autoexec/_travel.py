"""What was seen of whether calls may run in other processes."""

from __future__ import annotations

from ._types import Payload, Profile


class Travel:
    """What ties the function to this process, and what it would carry to another."""

    def __init__(self, prior: Profile | None = None) -> None:
        self.payload: Payload | None = None
        self.inspected = False
        """The code of the function was looked at."""
        self.tie: str | None = None
        """What that says to tie it to this process."""
        self.may_change = True
        """It may change objects of the caller's."""
        self.effect = prior.effect if prior else None
        """What its calls were seen to change."""
        self.effect_is_old = self.effect is not None
        """It was seen in an earlier run; the next call that is compared says whether it still holds."""
        self.untouched = prior is not None and prior.untouched
        """A first call was compared, and has changed nothing."""
        self.checks = min(1, prior.checks) if prior else 0  # one call is compared in each run
        """Calls around which the caller's state was compared."""

    def inspect(self, tie: str | None, *, may_change: bool) -> None:
        """The code says so much."""
        self.inspected, self.tie, self.may_change = True, tie, may_change

    def compare(self, effect: str | None, *, of_item: bool) -> bool:
        """The caller's state was compared around a call.

        What a first call changes may be a cache that it filled; what a later one changes, or any
        change of an item, is an effect.

        Returns:
            Whether that changes what was known.
        """
        self.checks += 1
        changed = self.effect_is_old
        if changed:
            self.effect_is_old, self.effect = False, None
        if effect is None and self.checks == 1:
            self.untouched = True
        if effect is not None and (of_item or self.checks > 1):
            self.effect = effect
            changed = True
        return changed
