"""Nothing that a run's folder or a config holds is executed: pickles, YAML tags, and what the source could call."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from reliability.invoking import Invoke

import initbench
from initbench.errors import StoreError
from initbench.store.weights import read_weights

Count = Callable[[int, int], int]
Figure = Callable[[str, str], None]

PACKAGE = Path(initbench.__file__).parent


class Planted:
    """What unpickling would execute: it makes the file `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def pickles(marker: Path) -> list[bytes]:
    """Return a pickle in the forms in which a reader may meet it: plain, old, as torch saved it, in a header."""
    planted = Planted(marker)
    plain = [pickle.dumps(planted, protocol) for protocol in (0, 2, 5)]
    saved = []
    for as_zip in (True, False):
        stream = io.BytesIO()
        torch.save(planted, stream, _use_new_zipfile_serialization=as_zip)
        saved.append(stream.getvalue())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("data.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 60) + plain[1])
    header = json.dumps({"__metadata__": {"format": "pickle", "state": plain[0].decode("latin-1")}}).encode()
    return [*plain, *saved, archive.getvalue(), struct.pack("<Q", len(header)) + header + plain[2]]


PLANTED_NAMES = (
    *("result.json", "metrics.jsonl", "weights.safetensors", "config.yaml", "environment.json", "identity.json"),
    *("SHA256SUMS", "traceback.txt", "weights.pt", "model.pth", "state.pkl", "a.ckpt", "data.npy", "notes.npz"),
)


def every_command(config: str, run: str) -> list[list[str]]:
    """Return the commands that look into a runs folder."""
    return [
        ["runs", "list"],
        ["runs", "list", "--format", "json"],
        ["runs", "show", run],
        ["runs", "merge", "theirs"],
        ["runs", "verify"],
        ["runs", "verify", run],
        ["runs", "replay", run],
        ["run", config, "--quiet"],
        ["compare", "--config", config, "--schemes", "xavier,he", "--seeds", "1", "--quiet"],
    ]


def test_no_pickle_in_a_runs_folder_is_ever_loaded(
    invoke: Invoke, whole: Path, config: str, count: Count, figure: Figure, tmp_path: Path
) -> None:
    marker = tmp_path / "executed"
    pickle.loads(pickles(marker)[2])  # noqa: S301 # the trap works
    marker.rmdir()
    attacks = pickles(marker)
    attacks = attacks[count(2, 0) : count(3, len(attacks))]
    planted = commands = 0
    for attack in attacks:
        for only in (None, *PLANTED_NAMES[: count(3, len(PLANTED_NAMES))]):
            runs = tmp_path / "runs"
            for hostile in (runs, tmp_path / "theirs"):
                shutil.rmtree(hostile, ignore_errors=True)
                planted += plant(hostile, whole.name, attack, only)
            for arguments in every_command(config, whole.name) if only is None else [["runs", "show", whole.name]]:
                ended = invoke(*arguments)
                commands += 1
                assert not marker.exists(), arguments
                assert "Traceback" not in ended.err
            if only is None:
                with pytest.raises(StoreError):
                    read_weights(tmp_path / "theirs" / whole.name)
            assert not marker.exists()
    tags = YAML_TAGS[:: count(6, 1)]
    configs = yaml_attacks(invoke, whole, marker, tags)
    assert not marker.exists()
    figure(
        "hostile pickles and YAML",
        f"{planted} pickles and {len(tags)} YAML tags planted, {commands + configs} commands: 0 executed",
    )


def plant(root: Path, run: str, attack: bytes, only: str | None) -> int:
    """Put pickles in place of a run's files, or of one of them, and of what is unfinished; return how many."""
    names = PLANTED_NAMES if only is None else (only,)
    files = [root / run / name for name in names]
    files += [root / ".unfinished" / f"{run}{suffix}" for suffix in (".safetensors", ".pt", ".pkl", "")]
    files += [root / ".claims" / run[-16:], root / ".lock", root / "index.pkl"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(attack)
    return len(files)


# the tags that PyYAML's loaders have executed, and others' (CVE-2017-18342, CVE-2020-1747, CVE-2020-14343)
YAML_TAGS = (
    '!!python/object/apply:os.mkdir ["{marker}"]',
    '!!python/object/apply:os.system ["mkdir {marker}"]',
    '!!python/object/apply:subprocess.check_call [["mkdir", "{marker}"]]',
    '!!python/object/new:os.mkdir ["{marker}"]',
    "!!python/object/new:type {{args: [z, [], {{extend: !!python/name:exec }}], listitems: \"open('{marker}', 'w')\"}}",
    '!!python/object/new:tuple [!!python/object/new:map [!!python/name:os.mkdir , ["{marker}"]]]',
    "!!python/object:os.mkdir {{path: '{marker}'}}",
    "!!python/name:os.mkdir ''",
    "!!python/module:antigravity ''",
    "!<tag:yaml.org,2002:python/object/apply:os.mkdir> ['{marker}']",
    "!!map {{!!python/object/apply:os.mkdir ['{marker}']: 1}}",
    "!!set {{? !!python/object/apply:os.mkdir ['{marker}']}}",
    "!!java.lang.Runtime ['{marker}']",
    "!ruby/object:Gem::Installer {{i: '{marker}'}}",
    "!include {marker}",
    "!env ${{HOME}}",
    "!!binary aGVsbG8=",
)


def yaml_attacks(invoke: Invoke, whole: Path, marker: Path, tags: Sequence[str]) -> int:
    """Give each attack as a config, as a value, in a run's folder and by --set; return in how many commands."""
    commands = 0
    for tag in tags:
        attack = tag.format(marker=marker)
        Path("attack.yaml").write_text(attack)
        Path("inner.yaml").write_text(f"seed: {attack}\n")
        Path("key.yaml").write_text(f"? {attack}\n: 1\n")
        whole.mkdir(parents=True, exist_ok=True)
        (whole / "config.yaml").write_text(f"seed: {attack}\n")
        refused = [
            *(["validate", name] for name in ("attack.yaml", "inner.yaml", "key.yaml")),
            ["run", "inner.yaml"],
            ["compare", "--config", "inner.yaml", "--schemes", "xavier,he"],
            ["run", "tiny.yaml", "--set", f"seed={attack}"],
            ["run", "tiny.yaml", "--set", attack],
        ]
        for arguments in refused:
            assert invoke(*arguments).code == 2, arguments
        for arguments in (["runs", "list"], ["runs", "show", whole.name], ["runs", "verify"]):
            invoke(*arguments)
        commands += len(refused) + 3
        assert not marker.exists(), attack
    return commands


OWN_PROCESSES = {"execute/messages.py", "execute/sharing.py", "execute/on_ray.py"}  # read what our own processes wrote
FORBIDDEN = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.loads", "dill.load", "dill.loads"),
    *("cloudpickle.load", "cloudpickle.loads", "joblib.load", "pandas.read_pickle", "shelve.open", "marshal.load"),
    *("marshal.loads", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"),
    *("yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "eval", "exec", "os.system"),
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}


def dangers(source: str) -> list[str]:
    """Return what in a module's source could execute what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES | {"yaml"}:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, (ast.Name, ast.Attribute)) and (name := ast.unparse(node)) in FORBIDDEN:
            found.append(name)
        elif isinstance(node, ast.Call):
            found += _unsafe_call(node)
    return found


def _unsafe_call(call: ast.Call) -> list[str]:
    name, keywords = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name == "torch.load" and keywords.get("weights_only") != "True":
        return ["torch.load"]
    return [name] if "allow_pickle" in keywords and keywords["allow_pickle"] != "False" else []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", 1),
        ("from pickle import loads", 1),
        ("from yaml import load", 1),
        ("yaml.load(text, yaml.Loader)", 2),
        ("torch.load(file)", 1),
        ("torch.load(file, weights_only=False)", 1),
        ("np.load(file, allow_pickle=True)", 1),
        ("eval(text)", 1),
        ("torch.load(file, weights_only=True); np.load(file); model.eval(); yaml.SafeLoader(text)", 0),
    ],
)
def test_dangers_are_seen(source: str, found: int) -> None:
    assert len(dangers(source)) == found


def test_nothing_in_initbench_can_load_code_from_a_file() -> None:
    files = {file.relative_to(PACKAGE).as_posix(): file for file in PACKAGE.rglob("*.py")}
    found = {name: dangers(file.read_text(encoding="utf-8")) for name, file in files.items()}
    assert {name: what for name, what in found.items() if what and name not in OWN_PROCESSES} == {}
    assert files.keys() >= OWN_PROCESSES
