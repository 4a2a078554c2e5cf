"""Which run a run is: everything that determines its numbers, and the hash of it.

A run's folder holds the parts as identity.json. They can be hashed again without initbench:

    import hashlib, json
    parts = json.load(open("identity.json"))
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    print(hashlib.sha256(text.encode()).hexdigest()[:16])
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initbench.config import Config
from initbench.config.errors import one_line, show, show_path
from initbench.models import models
from initbench.results import SCHEMA_VERSION, DatasetInfo
from initbench.revision import function_revision, package_revision
from initbench.schemes import parse

DEEPEST = 16  # mappings in mappings that are compared key by key; a config has three
_ABSENT = object()


@dataclass(frozen=True)
class Identity:
    """What determines a run's numbers, as canonical JSON: keys sorted, no spaces, no NaN. Equal for equal runs."""

    canonical: str

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> Identity:
        """Return the identity with these parts; raises ValueError and TypeError for what JSON does not have."""
        return cls(json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False))

    @functools.cached_property
    def run_id(self) -> str:
        """The run's id: the first 16 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()[:16]

    @property
    def parts(self) -> dict[str, Any]:
        """The parts, by their names, as plain data."""
        parts: dict[str, Any] = json.loads(self.canonical)
        return parts


def identity_of(config: Config, dataset: DatasetInfo, device_type: str, engine: str) -> Identity:
    """Return the identity of a run of `config` on this dataset and type of device, with the code and torch of here."""
    import torch

    return Identity.of(
        {
            "schema_version": SCHEMA_VERSION,
            "code": package_revision(),
            "torch": torch.__version__,
            "device": device_type,
            "dataset": [dataset.name, dataset.stand_in_for, dataset.sha256],
            "engine": engine,
            "config": settings_of(config),
            "schemes": schemes_of(config),
            "own_model": function_revision(models[config.model.name].build),
        }
    )


def schemes_of(config: Config) -> list[Any]:
    """Return what the numbers depend on of each scheme, the model's and those of layers.

    That is [name, parameters, revision of the function where it is a user's own].
    """
    from initbench.initial import activation_of

    specs = [parse(text) for text in (config.init.scheme, *config.init.layers.values())]
    return [
        [spec.name, dict(spec.resolved(activation_of(config))), function_revision(spec.scheme.fill)] for spec in specs
    ]


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings that a run's numbers depend on, in one form for those that mean the same."""
    settings = config.to_dict()
    for name in ("name", "device", "inspect"):
        del settings[name]
    del settings["train"]["engine"]  # what it led to stands beside the settings
    for name in ("name", "limit", "fallback"):  # what they led to is in the dataset's hash
        del settings["data"][name]
    settings["init"] = {"bias": settings["init"]["bias"], "layers": list(settings["init"]["layers"])}
    settings["init"]["bias"] = 0.0 if config.init.bias == "zeros" else config.init.bias
    return settings


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return why the run with the parts `old` is not the one with the parts `new`: a short line each, for users.

    Whoever wrote the parts: keys that are missing or odd and values of any kind are told of, and are no error.
    """
    parts = list(dict.fromkeys([*_SAID, *map(str, old), *map(str, new)]))
    return [line for part in parts for line in _difference(part, old.get(part, _ABSENT), new.get(part, _ABSENT))]


def _difference(part: str, old: Any, new: Any) -> Iterator[str]:
    """Yield what is to be said of one part, nothing where it is the same."""
    if _same(old, new):
        return
    if old is _ABSENT or new is _ABSENT or part not in _SAID:
        yield _change(_name(part), old, new)
    else:
        yield from _SAID[part](old, new)


def _code(old: Any, new: Any) -> Iterator[str]:
    yield "initbench's own code has changed"


def _dataset(old: Any, new: Any) -> Iterator[str]:
    """Compare [name, the dataset that it stands in for, SHA-256]."""
    if not (_is_list(old, 3) and _is_list(new, 3)):
        yield _change("dataset", old, new)
    elif not _same(old[:2], new[:2]):
        yield f"dataset {_dataset_name(old)}, now {_dataset_name(new)}"
    else:
        yield f"other bytes of dataset {_dataset_name(new)} (another data.limit?)"


def _dataset_name(dataset: Sequence[Any]) -> str:
    name, stand_in_for, _ = dataset
    return _word(name) if stand_in_for is None else f"{_word(name)} (in place of {_word(stand_in_for)})"


def _config(old: Any, new: Any) -> Iterator[str]:
    yield from _changes((), old, new)


def changes(old: Any, new: Any, name: str = "") -> list[str]:
    """Return the settings in which two mappings of settings differ: `train.lr 0.001, now 0.01`, one line each.

    `name` is what they are called where they are no mappings.
    """
    if _same(old, new):
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return list(_changes((), old, new))
    return [_change(name, old, new)]


def _changes(path: tuple[str, ...], old: Any, new: Any) -> Iterator[str]:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping) and len(path) < DEEPEST):
        yield _change(one_line(show_path(path)) or "config", old, new)
        return
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if not _same(before, after):
            yield from _changes((*path, str(key)), before, after)


def _schemes(old: Any, new: Any) -> Iterator[str]:
    """Compare lists of [name, parameters, revision of a user's function]: the model's scheme, then those of layers."""
    if not all(isinstance(one, list) and all(_is_list(scheme, 3) for scheme in one) for one in (old, new)):
        yield _change("schemes", old, new)
        return
    for number, (before, after) in enumerate(itertools.zip_longest(old, new)):
        key = f"init.layers, number {number}:" if number else "init.scheme"
        if before is None or after is None or not _same(before[:2], after[:2]):
            yield f"{key} {_scheme_text(before)}, now {_scheme_text(after)}"
        elif not _same(before, after):
            yield f"the code of your scheme {_word(after[0])} has changed"


def _scheme_text(scheme: Sequence[Any] | None) -> str:
    if scheme is None:
        return "not set"
    name, parameters, _ = scheme
    if not isinstance(parameters, Mapping):
        return _word(name)
    return ":".join([_word(name), *(f"{_word(str(key))}={_word(value)}" for key, value in parameters.items())])


def _own_model(old: Any, new: Any) -> Iterator[str]:
    """Compare the revisions of a user's own build function, None for a model of initbench."""
    if old is None:
        yield "a model of initbench, now one of your own"
    elif new is None:
        yield "a model of your own, now one of initbench"
    else:
        yield "the code of your model has changed"


def _changed(name: str) -> Any:
    return lambda old, new: iter([_change(name, old, new)])


_SAID = {  # in the order in which differences are told
    "schema_version": _changed("the schema of results"),
    "torch": _changed("torch"),
    "code": _code,
    "device": _changed("device type"),
    "engine": _changed("engine"),
    "dataset": _dataset,
    "config": _config,
    "schemes": _schemes,
    "own_model": _own_model,
}


def _change(name: str, old: Any, new: Any) -> str:
    return f"{name} {_word(old)}, now {_word(new)}"


def _same(old: Any, new: Any) -> bool:
    """Return whether two values have the same JSON, which is what an id is made of: 1 is not 1.0, nor is true 1."""
    if old is _ABSENT or new is _ABSENT:
        return old is new
    try:
        return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return False


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == length


def _word(value: Any) -> str:
    """Return a value for a sentence: cut, escaped, plain words without quotes."""
    if value is _ABSENT:
        return "not set"
    shown = show(value)
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != "" and len(value) <= len(shown)
    return one_line(value if plain else shown)


def _name(part: str) -> str:
    return show_path((part,))
