"""What a run says whose lane cannot be used any more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec import RunAborted
from autoexec._breakage import error_of
from autoexec._errors import FunctionNotSent, NotPicklable
from autoexec._types import Broken, Lane

LANES: list[Lane] = ["threads", "processes", "asyncio", "hybrid", "external", "dask", "ray"]


@given(
    event=st.builds(
        Broken,
        st.sampled_from(LANES),
        st.just("it is gone"),
        st.sampled_from([None, OSError("no"), NotPicklable("a lock")]),
        st.booleans(),
        st.booleans(),
    )
)
def test_it_is_one_error_with_its_cause_and_says_what_to_do(event: Broken) -> None:
    error = error_of(event, "parse")
    assert isinstance(error, RunAborted)
    assert error.__cause__ is event.error
    if event.lane in ("processes", "hybrid") and not event.initializing:
        assert "'threads'" in str(error)


def test_a_function_that_cannot_travel_is_named_with_what_holds_it() -> None:
    error = error_of(Broken("processes", "it cannot", NotPicklable("a lock")), "parse")
    assert type(error) is FunctionNotSent
    assert str(error).startswith("parse cannot travel to a worker process")
    assert "a lock" in str(error)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Broken("dask", "nobody answers"), "backend='dask' cannot run here: nobody answers."),
        (
            Broken("hybrid", "none starts"),
            "backend='hybrid' cannot run here: none starts. Use backend='auto' or 'threads'.",
        ),
        (
            Broken("external", "it is shut down"),
            "No call can run: it is shut down. Pass one that is open and not broken.",
        ),
    ],
)
def test_it_says_which_backend_and_why(event: Broken, text: str) -> None:
    assert str(error_of(event, "parse")) == text


def test_an_initializer_that_fails_is_shown_as_the_cause() -> None:
    error = error_of(
        Broken("processes", "it failed", ValueError("no table"), initializing=True), "f"
    )
    assert "The initializer raised ValueError('no table')" in str(error)
