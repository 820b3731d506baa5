"""What makes a finished run current: the one rule, for single runs, sweeps, Hydra's launchers and Slurm tasks.

A finished run is current if everything that shaped its numbers is the same now:

- the settings, except those that say where and how a run happens, what is drawn of it (`PLACE`), and notes about it;
- the weights that the model holds: for an ensemble the bytes of its members' files, for a module the digest of its
  parameters, buffers and other tensors once it is built;
- the source of every class that the settings name by `_target_`, with what it imports of the user's own code; for an
  installed package its version;
- the bytes of files that the settings name: `stimulus.file`, and arguments of options that are paths of files, or of
  folders of runs, whose stimulus counts.

`result.json` records all of these in its `identity` block, so that a difference can be named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openretina_cli.errors import SettingError
from openretina_cli.store.digest import digest_of_file
from openretina_cli.store.names import STIMULUS

SCHEMA = 2
"""Of `result.json`. Version 1, of 0.1.0 up to 2026-11, had neither a schema number nor an `identity` block."""
TARGET = "_target_"
PLACE = ("out", "overwrite", "device", "fail_fast", "output")
"""Settings that say where and how a run happens, and what is drawn of it."""
THROUGH_OTHERS = ("neuron", "group")
"""Settings that shape numbers only through those that refer to them, such as `objective.neuron`."""
NOTE = ("model", "note")
MIN_QUALITY = ("model", "min_quality")
"""A limit that shapes numbers only where a setting says `all` neurons."""
WEIGHTS = ("model", "weights")
"""A file whose content is judged by the weights that the built model holds."""
START = ("stimulus", "file")

MODEL_CHANGED = "the weights of the model changed"
ABSENT = object()

Keys = tuple[str, ...]


def shaping(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that shape a result, as JSON spells them: whole numbers are equal however they are written."""
    kept: dict[str, Any] = {
        str(key): _plain(value) for key, value in values.items() if key not in (*PLACE, *THROUGH_OTHERS)
    }
    if kept.get("restarts") == 1:  # as runs were made before there was such a setting
        del kept["restarts"]
    if isinstance(kept.get(NOTE[0]), dict):
        kept[NOTE[0]].pop(NOTE[1], None)
        limit = kept[MIN_QUALITY[0]].pop(MIN_QUALITY[1], None)
        if limit is not None and "all" in _leaves([kept, *(values.get(name) for name in THROUGH_OTHERS)]):
            kept[MIN_QUALITY[0]][MIN_QUALITY[1]] = limit
    return kept


def _leaves(node: object) -> list[object]:
    """The values in nested mappings and lists."""
    if isinstance(node, Mapping):
        return _leaves(list(node.values()))
    return [leaf for item in node for leaf in _leaves(item)] if isinstance(node, (list, tuple)) else [node]


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def settings_key(values: Mapping[str, Any]) -> str:
    """Hex digest of the settings that shape a result."""
    return hashlib.sha256(json.dumps(shaping(values), sort_keys=True).encode()).hexdigest()


def shapes_numbers(key: str) -> bool:
    """Whether an override of this setting, by its dotted name, can change the numbers of a run."""
    keys = tuple(key.lstrip("+~").split("."))
    return keys[0] not in PLACE and keys != NOTE


def recorded_key(result: Mapping[str, Any]) -> str:
    """The `settings_key` of a finished run, from its `result.json`; empty where it cannot be told."""
    identity, settings = result.get("identity"), result.get("settings")
    if isinstance(identity, Mapping):
        return str(identity.get("settings", ""))
    return settings_key(settings) if isinstance(settings, Mapping) else ""


@dataclass(frozen=True)
class Identity:
    """Everything that shaped the numbers of a run.

    Attributes:
        settings: digest of the settings that matter, see `settings_key`.
        model: digest of the weights that the model holds; empty where it is not known without loading the model.
        sources: digest of each source file of user classes, version of each installed package, by name.
        files: digest of each file that a setting names, by the setting.
    """

    settings: str
    model: str
    sources: Mapping[str, str]
    files: Mapping[str, str]

    def recorded(self) -> dict[str, Any]:
        """The block `identity` of `result.json`."""
        return asdict(self)


class Files:
    """Finds the sources and files of runs; each is read once, at its first use.

    A class that is edited during a sweep stays imported as it was, so its digest must stay as well.
    """

    def __init__(self) -> None:
        self._sources: dict[str, dict[str, str]] = {}
        self._files: dict[str, str] = {}

    def identity(self, values: Mapping[str, Any], model: str = "") -> Identity:
        """The identity of a run with these settings; `model` is the digest of its weights, where it is known."""
        from openretina_cli.store.sources import source_digests  # importlib.metadata takes 20 ms

        values = {key: value for key, value in values.items() if key not in PLACE}
        sources: dict[str, str] = {}
        for target in targets(values):
            if target not in self._sources:
                self._sources[target] = source_digests(target)
            sources |= self._sources[target]
        return Identity(settings_key(values), model, sources, dict(self._named_files(values)))

    def _named_files(self, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for keys, text in _file_settings(values, (), inside=False):
            if text not in self._files:
                self._files[text] = _digest_of(text)
            if self._files[text]:
                yield ".".join(keys), self._files[text]


def targets(node: object) -> Iterator[str]:
    """The classes and functions that settings name by `_target_`, at any depth."""
    if isinstance(node, Mapping):
        if isinstance(node.get(TARGET), str):
            yield node[TARGET]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from targets(value)


def _file_settings(node: object, keys: Keys, *, inside: bool) -> Iterator[tuple[Keys, str]]:
    """Settings that may name a file: the start, and the arguments of user classes (`inside` one)."""
    if isinstance(node, Mapping):
        inside = inside or isinstance(node.get(TARGET), str)
        for key, value in node.items():
            if key != TARGET:
                yield from _file_settings(value, (*keys, str(key)), inside=inside)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _file_settings(value, (*keys, str(index)), inside=inside)
    elif isinstance(node, str) and keys[:2] != WEIGHTS and (inside or keys == START):
        yield keys, node


def _digest_of(text: str) -> str:
    """Digest of a file, or of the stimulus in a run's folder; empty where there is none, which the run will report."""
    try:
        path = Path(text).expanduser()
        path = path / STIMULUS if path.is_dir() else path
        return digest_of_file(path) if path.is_file() else ""
    except (OSError, ValueError, RuntimeError):  # no path, no permission, or no home folder
        return ""


def is_of_later_version(result: Mapping[str, Any]) -> bool:
    """Whether a later version wrote a result, whose fields and rule are not known here."""
    schema = result.get("schema", 1)
    return not isinstance(schema, int) or schema > SCHEMA


def difference(result: Mapping[str, Any], now: Identity, values: Mapping[str, Any]) -> str:
    """Why a finished run is not current, as a clause such as `stimulus.std changed`; empty if it is.

    A digest of the model that is not known now is not compared.

    Args:
        result: what its `result.json` holds.
        now: the identity that the run would have now.
        values: its settings now.

    Raises:
        SettingError: the result was written by a later version, whose rule is not known here.
    """
    schema = result.get("schema", 1)
    if is_of_later_version(result):
        raise SettingError(
            f"a finished run there has schema {str(schema)[:20]} of a later version",
            expected=f"at most {SCHEMA}",
            repair="another out=, or overwrite=true",
        )
    recorded = result.get("identity")
    if schema == 1 or not isinstance(recorded, Mapping):
        return _difference_from_earlier(result, now, values)
    if recorded.get("settings") != now.settings:
        return _changed_setting(result, values)
    if now.model and recorded.get("model") != now.model:
        return MODEL_CHANGED
    return _changed_name(recorded.get("sources"), now.sources) or _changed_name(recorded.get("files"), now.files)


def _difference_from_earlier(result: Mapping[str, Any], now: Identity, values: Mapping[str, Any]) -> str:
    """The rule for version 1, which recorded the settings and the digest of the checkpoint's files only."""
    settings, model = result.get("settings"), result.get("model")
    if isinstance(settings, Mapping) and any(map(_says_kind, settings.values())):
        return "an earlier version made it, whose settings are spelt differently"
    if not isinstance(settings, Mapping) or settings_key(settings) != now.settings:
        return _changed_setting(result, values)
    if now.sources or now.files:
        return f"an earlier version made it, which did not record {next(iter((*now.sources, *now.files)))}"
    if not isinstance(model, Mapping) or (now.model and model.get("sha256") != now.model):
        return MODEL_CHANGED
    return ""


def _says_kind(option: object) -> bool:
    """Whether an option names its class by a word, as in version 1, and not by `_target_`."""
    return isinstance(option, Mapping) and "kind" in option and TARGET not in option


def _changed_name(recorded: object, now: Mapping[str, str]) -> str:
    before = recorded if isinstance(recorded, Mapping) else {}
    return next((f"{name} changed" for name in (*now, *before) if before.get(name) != now.get(name)), "")


def _changed_setting(result: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Names the first setting that differs."""
    settings = result.get("settings")
    before = _flat(shaping(settings)) if isinstance(settings, Mapping) else {}
    now = _flat(shaping(values))
    names = [keys for keys in (*now, *before) if before.get(keys, ABSENT) != now.get(keys, ABSENT)]
    return f"{'.'.join(names[0])} changed" if before and names else "its settings changed"


def _flat(node: object, keys: Keys = ()) -> dict[Keys, object]:
    if not isinstance(node, Mapping) or not node:
        return {keys: node}
    return {name: leaf for key, value in node.items() for name, leaf in _flat(value, (*keys, key)).items()}
