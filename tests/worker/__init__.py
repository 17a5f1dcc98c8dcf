"""Tests of the far side of a process."""
