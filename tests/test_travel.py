"""What was seen of whether calls may run in other processes."""

from __future__ import annotations

import pytest
from strategies import profile

from autoexec._travel import Travel


def test_what_a_first_call_changes_may_be_a_cache_that_it_filled() -> None:
    travel = Travel()
    assert not travel.compare("a list", of_item=False)
    assert travel.effect is None
    assert not travel.untouched
    assert travel.compare("a list", of_item=False)
    assert travel.effect == "a list"


def test_a_change_of_an_item_is_an_effect_at_once() -> None:
    travel = Travel()
    assert travel.compare("its item", of_item=True)
    assert travel.effect == "its item"


def test_a_first_call_that_changes_nothing_is_noted() -> None:
    travel = Travel()
    assert not travel.compare(None, of_item=False)
    assert travel.untouched
    assert travel.effect is None


@pytest.mark.parametrize("effect", [None, "a list"])
def test_the_effect_of_an_earlier_run_holds_until_a_call_is_compared(effect: str | None) -> None:
    travel = Travel(profile(0.01, effect="a list", checks=2))
    assert travel.effect == "a list"
    assert travel.effect_is_old
    assert travel.compare(effect, of_item=False)
    assert travel.effect == effect
    assert not travel.effect_is_old


def test_in_each_run_one_call_is_compared() -> None:
    assert Travel(profile(0.01, checks=5)).checks == 1
    assert Travel(profile(0.01, checks=0)).checks == 0


def test_what_the_code_says_stands_beside_what_was_seen() -> None:
    travel = Travel(profile(0.01, effect="a list"))
    travel.inspect("it holds a lock", may_change=False)
    assert (travel.inspected, travel.tie, travel.may_change) == (True, "it holds a lock", False)
    assert travel.effect == "a list"
