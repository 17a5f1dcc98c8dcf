"""All rows, in the order of their names."""

from __future__ import annotations

import rows_a_payloads as _a
import rows_a_sizes as _as
import rows_b_deaths as _b
import rows_b_starts as _bs
import rows_c_time as _c
import rows_d_input as _d
import rows_e_surroundings as _e
import rows_f_many as _f
import rows_g_neighbours as _g
from register import LATER, ROWS

__all__ = ["LATER", "ROWS"]

MODULES = (_a, _as, _b, _bs, _c, _d, _e, _f, _g)
