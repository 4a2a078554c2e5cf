"""Everything one YAML file says: validated, frozen, printable with every default filled in.

Read one with `load_config` (a file) or `make_config` (plain data): both raise ConfigError with all problems at once.
Importing this module does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError

from initbench.config.errors import Problem, report, show
from initbench.config.explain import explain, explained
from initbench.config.file import read_config_file
from initbench.config.inspect_section import InspectConfig
from initbench.config.merge import DEFAULT_MODEL, fold_scheme, merge_overrides, override_tree, tree_of
from initbench.config.scalars import plain_scalar
from initbench.config.sections import DataConfig, InitConfig, ModelConfig, Section, TrainConfig
from initbench.config.tree import Composed, Node
from initbench.models import models

__all__ = [
    "Config",
    "DataConfig",
    "InitConfig",
    "InspectConfig",
    "ModelConfig",
    "TrainConfig",
    "load_config",
    "make_config",
]

LARGEST_SEED = 2**63 - 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME_ALLOWED = (
    "null, or text (quote a number) of 1 to 64 letters, digits, '.', '_' or '-', with no '..', "
    "starting with a letter or digit"
)
_DEVICE = re.compile(r"auto|cpu|cuda(:(0|[1-9][0-9]{0,2}))?")
_DEVICE_ALLOWED = "auto, cpu, cuda or cuda:<number>, such as cuda:0"


def _safe_name(name: str) -> str:
    if _NAME.fullmatch(name) and ".." not in name:
        return name
    raise explained(f"got {show(name)}, allowed: {_NAME_ALLOWED}.")


def _device(device: str) -> str:
    if _DEVICE.fullmatch(device):
        return device
    raise explained(f"got {show(device)}, allowed: {_DEVICE_ALLOWED}.")


class Config(Section):
    """One run's settings. Two configs that resolve to the same settings are equal and have the same hash.

    Make one with `load_config` or `make_config`; the constructor takes complete sections only and raises pydantic's
    ValidationError.
    """

    name: Annotated[str, AfterValidator(_safe_name)] | None = Field(None, json_schema_extra={"allowed": _NAME_ALLOWED})
    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    init: InitConfig = Field(default_factory=InitConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    inspect: InspectConfig = Field(default_factory=InspectConfig)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    device: Annotated[str, AfterValidator(_device)] = Field("auto", json_schema_extra={"allowed": _DEVICE_ALLOWED})

    def to_dict(self) -> dict[str, Any]:
        """Return every setting, defaults filled in, as plain data that JSON can hold."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return every setting, defaults filled in, as YAML that loads back equal."""
        return yaml.dump(self.to_dict(), Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True)


ConfigLike = Config | Mapping[str, Any] | str | Path | None


class _Dumper(yaml.SafeDumper):
    """Writes lists on one line, and quotes the strings that would be read back as something else."""


def _write_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


def _write_string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if isinstance(plain_scalar(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(list, _write_list)
_Dumper.add_representer(str, _write_string)


def resolve_config(config: ConfigLike) -> Config:
    """Return the Config that a Config, a mapping, the path of a YAML file, or None for the defaults, stands for."""
    if isinstance(config, Config):
        return config
    return make_config(config) if isinstance(config, Mapping) else load_config(config)


def load_config(path: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read the YAML file at `path` (None: all defaults), apply the overrides `a.b=value` and validate the result.

    Raises ConfigError, one line `file:line:column: key: problem` for each thing that is wrong.
    """
    return _resolve(tree_of({}) if path is None else read_config_file(path), overrides)


def make_config(data: Mapping[str, Any] | Config, overrides: Sequence[str] = ()) -> Config:
    """Validate plain data, in the form that a YAML file has, with the overrides `a.b=value` applied.

    Raises ConfigError, one line `key: problem` for each thing that is wrong.
    """
    return _resolve(tree_of(data.to_dict() if isinstance(data, Config) else data), overrides)


def _resolve(composed: Composed, overrides: Sequence[str]) -> Config:
    parsed = [override_tree(text, rank) for rank, text in enumerate(overrides, start=1)]
    problems = [problem for part in (composed, *parsed) for problem in part.problems]
    root = composed.root or Node({})
    if not isinstance(root.value, dict):
        message = f"got {show(root.plain())}, allowed: a mapping with the keys {', '.join(Config.model_fields)}."
        raise report([*problems, Problem(root.place, (), message)])
    folded = fold_scheme(merge_overrides(root, [part.root for part in parsed if part.root is not None]))
    problems.extend(folded.problems)
    return _validate(folded.root or Node({}), problems)


def _validate(root: Node, problems: list[Problem]) -> Config:
    """Return the config, or raise all of its problems. A setting that could not be read is not validated again."""
    data = root.plain()
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        unread = {(problem.place, problem.path) for problem in problems}
        found = explain(error, root, _schema(data))
        problems += [problem for problem in found if (problem.place, problem.path) not in unread]
    if problems:
        raise report(problems)
    return config


def _schema(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a config with the model that `data` names."""
    section = data.get("model")
    name = section.get("name") if isinstance(section, Mapping) else None
    model = models[name if name in models.all_names() else DEFAULT_MODEL]
    options = model.options.model_json_schema()
    schema = Config.model_json_schema()
    schema["$defs"] |= options.pop("$defs", {})
    properties = {"name": {"allowed": ", ".join(models)}, **options.get("properties", {})}
    schema["properties"]["model"] = {"type": "object", "properties": properties}
    return schema
