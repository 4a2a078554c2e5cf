"""The record: plain frozen data with a strict JSON round trip. What all results are made of."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

# of the JSON documents and of the folders under runs/; part of a run's identity. 1 is the first: there is no older one
SCHEMA_VERSION: Final = 1

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**53)]  # what every reader of JSON has exactly (RFC 8259, section 6)
Ordinal = Annotated[int, Field(ge=1, le=2**53)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]  # three centuries: sums and means of many stay finite


class Record(BaseModel):
    """A frozen record: unknown keys are refused, and so are NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants")
