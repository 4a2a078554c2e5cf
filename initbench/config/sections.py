"""The sections of a config: model, init, data and train, each with its ranges, defaults and rules between settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from initbench.config.errors import shorten, show
from initbench.config.explain import explained
from initbench.config.merge import DEFAULT_MODEL, DEFAULT_SCHEME, MAX_SCHEME_CHARACTERS
from initbench.data import datasets
from initbench.errors import SchemeError, UsageError, did_you_mean
from initbench.models import ModelOptions, models
from initbench.registry import Registry
from initbench.schemes import parse
from initbench.schemes.spec import FLOAT32_MAX

BIAS_RULES = ("zeros", "default")
MAX_PATTERNS, MAX_PATTERN_CHARACTERS = 1_000, 200
TAKEN_BY = {"momentum": ("sgd", "rmsprop"), "nesterov": ("sgd",), "betas": ("adam", "adamw")}  # by which optimizers

Beta = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A frozen part of a config: unknown keys, NaN and infinity are refused; only int is converted, to float."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


def _registered(registry: Registry[Any]) -> Callable[[str], str]:
    """Return the validator that turns a name or alias into the registry's own name."""

    def resolve(name: str) -> str:
        try:
            return registry.resolve(shorten(name))
        except UsageError as error:
            raise explained(str(error)) from None

    return resolve


class ModelConfig(Section):
    """A model's name and its options, which that model's own class validates; written side by side in the file."""

    name: str = DEFAULT_MODEL
    options: SerializeAsAny[ModelOptions]

    @model_validator(mode="before")
    @classmethod
    def _split(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        name = data.get("name", DEFAULT_MODEL)
        if not isinstance(name, str):
            raise _at_name(name, f"got {show(name)}, allowed: {', '.join(models)}.")
        try:
            model = models[shorten(name)]
        except UsageError as error:
            raise _at_name(name, str(error)) from None
        options = {key: value for key, value in data.items() if key != "name"}
        return {"name": model.name, "options": model.options.model_validate(options)}

    @model_serializer
    def _join(self) -> dict[str, Any]:
        return {"name": self.name, **self.options.model_dump(mode="json")}


def _at_name(name: object, message: str) -> ValidationError:
    details = InitErrorDetails(type=explained(message), loc=("name",), input=name)
    return ValidationError.from_exception_data("model", [details])


def _canonical_scheme(text: str) -> str:
    if len(text) > MAX_SCHEME_CHARACTERS:
        raise explained(f"got {show(text)}, allowed: a scheme of at most {MAX_SCHEME_CHARACTERS} characters.")
    try:
        return str(parse(text))
    except SchemeError as error:
        raise explained(str(error)) from None


def _bias_rule(value: object) -> float | str:
    if isinstance(value, str) and value in BIAS_RULES:
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        if is_number and abs(number := float(value)) <= FLOAT32_MAX:  # type: ignore[arg-type]
            return number
    except OverflowError:  # an integer that no float can hold
        pass
    hint = did_you_mean(shorten(value), BIAS_RULES) if isinstance(value, str) else ""
    raise explained(f"got {show(value)}, allowed: {', '.join(BIAS_RULES)} or a finite float32 number.{hint}")


SchemeText = Annotated[
    str,
    AfterValidator(_canonical_scheme),
    Field(json_schema_extra={"allowed": "a scheme, such as xavier_uniform or normal:std=0.01"}),
]
Pattern = Annotated[str, Field(max_length=MAX_PATTERN_CHARACTERS)]


class InitConfig(Section):
    """How parameters start: the scheme (its canonical full text), biases that it leaves alone, layers with their own.

    `layers` maps patterns of weight or layer names to schemes; where two patterns match, the later one counts.
    """

    scheme: SchemeText = DEFAULT_SCHEME
    bias: Annotated[float | Literal["zeros", "default"], BeforeValidator(_bias_rule)] = "default"
    layers: Annotated[dict[Pattern, SchemeText], Field(max_length=MAX_PATTERNS)] = Field(
        default_factory=dict, json_schema_extra={"allowed": "a mapping of layer patterns to schemes, {out: zeros}"}
    )

    def __hash__(self) -> int:
        return hash(self._ordered())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InitConfig) and self._ordered() == other._ordered()

    def _ordered(self) -> tuple[object, ...]:
        """Return the settings with the patterns in their order, which has a meaning."""
        return self.scheme, self.bias, *self.layers.items()


class DataConfig(Section):
    """Which images, in batches of which size. At evaluation pixels are in [0, eval_scale]; in training in [0, 1]."""

    name: Annotated[str, AfterValidator(_registered(datasets))] = Field(
        "mnist", json_schema_extra=lambda schema: schema.update(allowed=", ".join(datasets))
    )
    batch_size: int = Field(100, ge=1, le=1_000_000)
    drop_last: bool = True
    limit: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    fallback: Literal["digits", "none"] = "digits"
    eval_scale: float = Field(1.0, gt=0, le=1e6)

    @field_validator("limit")
    @classmethod
    def _fills_a_batch(cls, limit: int | None, info: ValidationInfo) -> int | None:
        batch_size = info.data.get("batch_size", 0)
        if limit is not None and limit < batch_size and info.data.get("drop_last"):
            raise explained(
                f"got {limit}, fewer than one batch of {batch_size}, and the last, smaller batch is dropped. "
                "Lower data.batch_size or set data.drop_last: false."
            )
        return limit


class TrainConfig(Section):
    """The recipe: optimizer, schedule, epochs. `threads` is part of it: the numbers depend on it.

    `signals` N > 0 records what `initbench inspect` measures before the first and after every N epochs: 20 ms a time
    for the default model, 2 % of an epoch on MNIST (one core of an Intel Xeon); an epoch's `seconds` leave it out. It
    changes no number of a run, but is part of its identity: a stored run without signals is none that has them.
    """

    epochs: int = Field(15, ge=1, le=100_000)
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "adam"
    lr: float = Field(0.001, gt=0, le=1e6)
    momentum: float = Field(0.0, ge=0, lt=1)
    nesterov: bool = False
    betas: Annotated[tuple[Beta, Beta], Strict(False)] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0, le=1e6)
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: Annotated[float, Field(gt=0, le=1e6)] | None = None
    threads: int = Field(1, ge=1, le=1024)
    precision: Literal["float32", "bfloat16"] = "float32"
    engine: Literal["auto", "sequential", "stacked"] = "auto"
    signals: int = Field(0, ge=0, le=100_000)

    @field_validator(*TAKEN_BY)
    @classmethod
    def _belongs_to_optimizer(cls, value: Any, info: ValidationInfo) -> Any:
        name, optimizer = str(info.field_name), info.data.get("optimizer")
        if optimizer is None or optimizer in TAKEN_BY[name] or value == cls.model_fields[name].default:
            return value
        raise explained(
            f"got {show(value)}, but the optimizer {optimizer} has no {name}; {' and '.join(TAKEN_BY[name])} "
            f"{'has' if len(TAKEN_BY[name]) == 1 else 'have'} it. Remove it or change train.optimizer."
        )

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("optimizer") == "sgd" and info.data.get("momentum") == 0:
            raise explained("got true, but train.momentum is 0. Set train.momentum, such as 0.9.")
        return nesterov
