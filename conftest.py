"""Notebooks run with steady settings and are compared with a tolerance: see tools/compare.py."""

from tools import steady
from tools.compare import patch_nbval

steady()
patch_nbval()
