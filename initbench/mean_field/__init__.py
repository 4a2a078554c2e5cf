"""Mean-field theory of wide random networks. Importing it imports numpy and scipy: do so inside functions."""

from initbench.mean_field.critical_line import Critical, critical_point
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
    "CURVES",
    "Critical",
    "Curve",
    "chi1",
    "critical_point",
    "curve",
    "depth_scale",
    "expectation",
    "fixed_point",
    "second_moment",
    "slope_moment",
    "variance_map",
    "variance_slope",
]
