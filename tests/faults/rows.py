"""All rows, in the order of their names."""

from __future__ import annotations

import rows_a_payloads as _a
import rows_a_sizes as _as
import rows_b_deaths as _b
import rows_b_starts as _bs
import rows_c_cancel as _cc
import rows_c_time as _c
import rows_d_input as _d
import rows_d_streams as _ds
import rows_e_surroundings as _e
import rows_f_many as _f
import rows_g_neighbours as _g
import rows_g_seeds as _gs
from register import ROWS

__all__ = ["ROWS"]

MODULES = (_a, _as, _b, _bs, _c, _cc, _d, _ds, _e, _f, _g, _gs)
