"""What initbench's results are: plain frozen records with a strict JSON round trip.

Accuracies are fractions in [0, 1], times are seconds. The JSON schemas in report/schema are made from these records.
"""

from initbench.results.comparison import (
    ALPHA,
    PERCENTILE_MARK,
    Comparison,
    PairedDifference,
    RunSummary,
    SchemeSummary,
)
from initbench.results.printable import document, printable, shown
from initbench.results.record import SCHEMA_VERSION, Fraction, Record
from initbench.results.run import DatasetInfo, Divergence, EpochRow, PretrainingRow, RunResult, Status
from initbench.results.signals import (
    Histogram,
    Inspection,
    LayerSignal,
    LayerTheory,
    NetworkTheory,
    SignalReport,
    SignalRow,
    Spectrum,
    Verdict,
    WeightSignal,
)
from initbench.results.unfinished import UnfinishedRun, UnfinishedTask

__all__ = [
    "ALPHA",
    "PERCENTILE_MARK",
    "SCHEMA_VERSION",
    "Comparison",
    "DatasetInfo",
    "Divergence",
    "EpochRow",
    "Fraction",
    "Histogram",
    "Inspection",
    "LayerSignal",
    "LayerTheory",
    "NetworkTheory",
    "PairedDifference",
    "PretrainingRow",
    "Record",
    "RunResult",
    "RunSummary",
    "SchemeSummary",
    "SignalReport",
    "SignalRow",
    "Spectrum",
    "Status",
    "UnfinishedRun",
    "UnfinishedTask",
    "Verdict",
    "WeightSignal",
    "document",
    "printable",
    "shown",
]
