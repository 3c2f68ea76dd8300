"""All claims, paper by paper, in the order of the page."""

from __future__ import annotations

from benchmarks.runs.ledger.analyses import INVARIANCES, RANDOM_LABELS, TRANSFER
from benchmarks.runs.ledger.contrast import CLAE, SUPCON
from benchmarks.runs.ledger.pixels import CIM, FEATUP, PIXPRO

PAPERS = (FEATUP, PIXPRO, CIM, SUPCON, CLAE, TRANSFER, RANDOM_LABELS, INVARIANCES)
