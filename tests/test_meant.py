from __future__ import annotations

from typing import get_args

import pytest

from autoexec._checks import validate
from autoexec._meant import BACKENDS, OPTIONS
from autoexec._options import NAMES, BackendName


def test_what_others_call_an_option_leads_to_ours_and_is_none_itself() -> None:
    for given, meant in OPTIONS.items():
        assert given not in NAMES
        assert meant in NAMES
        with pytest.raises(TypeError, match=f"Did you mean '{meant}'"):
            validate({given: 2})


@pytest.mark.parametrize(
    ("given", "meant"), [*BACKENDS.items(), ("thread", "threads"), ("process", "processes")]
)
def test_a_wrong_backend_is_answered_with_the_one_that_was_meant(given: str, meant: str) -> None:
    assert given not in get_args(BackendName)
    assert meant in get_args(BackendName)
    with pytest.raises(ValueError, match=rf"not '{given}'\. Did you mean '{meant}'\?$"):
        validate({"backend": given})


def test_a_name_that_is_near_to_none_gets_no_guess() -> None:
    with pytest.raises(TypeError, match=r"no option 'xyzzy'\. The options are"):
        validate({"xyzzy": 1})
