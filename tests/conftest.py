"""What every test begins with."""

from __future__ import annotations

import pytest

from autoexec import _priors


@pytest.fixture(autouse=True)
def _nothing_learned() -> None:
    """No test goes by what another has shown of a function."""
    _priors.forget()
