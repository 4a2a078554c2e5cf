"""Mean-field theory of wide random networks. Importing it imports numpy and scipy: do so inside functions."""

from initbench.mean_field.critical_line import Critical, critical_point
from initbench.mean_field.moments import Moments, moments
from initbench.mean_field.phase import (
    CRITICAL_TOLERANCE,
    TRAINABLE_DEPTH_SCALES,
    PhaseDiagram,
    PhasePoint,
    phase_diagram,
    phase_of,
    phase_point,
)
from initbench.mean_field.propagation import Dense, Predicted, propagate
from initbench.mean_field.variance import (
    CURVES,
    Curve,
    chi1,
    curve,
    depth_scale,
    expectation,
    fixed_point,
    second_moment,
    slope_moment,
    variance_map,
    variance_slope,
)

__all__ = [
    "CRITICAL_TOLERANCE",
    "CURVES",
    "TRAINABLE_DEPTH_SCALES",
    "Critical",
    "Curve",
    "Dense",
    "Moments",
    "PhaseDiagram",
    "PhasePoint",
    "Predicted",
    "chi1",
    "critical_point",
    "curve",
    "depth_scale",
    "expectation",
    "fixed_point",
    "moments",
    "phase_diagram",
    "phase_of",
    "phase_point",
    "propagate",
    "second_moment",
    "slope_moment",
    "variance_map",
    "variance_slope",
]
