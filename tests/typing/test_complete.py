"""Everything that the package exports has a type that a checker need not guess."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest


@pytest.mark.skipif(
    importlib.util.find_spec("pyright") is None or shutil.which("node") is None,
    reason="needs pyright, and node, which pyright would download",
)
def test_the_types_of_the_public_names_are_complete() -> None:
    options = ["--verifytypes", "autoexec", "--ignoreexternal", "--outputjson"]
    line = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, *options]
    run = subprocess.run(line, capture_output=True, text=True, timeout=100)
    said = json.loads(run.stdout)
    symbols = said["typeCompleteness"]["symbols"]
    guessed = [
        problem["message"]
        for symbol in symbols
        # joblib has no types, so what is derived from its classes has none that is known.
        if not symbol["isTypeKnown"] and not symbol["name"].startswith("autoexec.joblib.")
        for problem in symbol["diagnostics"]
    ]
    assert guessed == []
