"""The record: plain frozen data with a strict JSON round trip. What all results are made of."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Final = 1  # of the JSON documents and of the folders under runs/; part of a run's identity

Fraction = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """A frozen record: unknown keys are refused, and so are NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")
