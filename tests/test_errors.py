from __future__ import annotations

import pickle

import pytest

import autoexec
from autoexec._errors import AutoexecError, FunctionNotSent, NotPicklable, NotSent

PUBLIC = [
    value
    for value in (getattr(autoexec, name) for name in autoexec.__all__)
    if isinstance(value, type) and issubclass(value, Exception)
]


@pytest.mark.parametrize("error", PUBLIC, ids=lambda error: error.__name__)
def test_a_traceback_names_an_error_as_it_is_imported(error: type[Exception]) -> None:
    assert f"{error.__module__}.{error.__qualname__}" == f"autoexec.{error.__name__}"
    assert getattr(autoexec, error.__name__) is error
    assert type(pickle.loads(pickle.dumps(error("why")))) is error


@pytest.mark.parametrize("kind", [NotSent, FunctionNotSent])
def test_what_was_not_sent_is_not_picklable_to_whoever_reads_it(kind: type[NotPicklable]) -> None:
    error = kind("a lock cannot travel")
    error.add_note("item 3")
    assert repr(error) == "NotPicklable('a lock cannot travel')"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is NotPicklable
    assert isinstance(again, AutoexecError)
    assert (again.args, again.__notes__) == (error.args, ["item 3"])
