"""Tests of worker processes and the supervision of them."""
