"""Loads weights from a file into a user's module; finds the state dict among what a training saves beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from openretina_cli.errors import ModelError
from openretina_cli.models.foreign_file import content_of, one_line_errors, shown
from openretina_cli.models.pickle_machine import InertClass, Skipped
from openretina_cli.models.plain_pickle import PLAIN_GLOBALS
from openretina_cli.models.safe_files import MAX_STATE_DICT_BYTES, only_tensors
from openretina_cli.models.safetensors_file import is_safetensors, read_tensors
from openretina_cli.models.torch_file import read_torch_file

NESTS = ("state_dict", "model_state_dict", "model", "module", "network", "net", "weights")
"""Keys under which training loops keep the state dict beside other things, the first that is there counts."""
WRAPPERS = frozenset(["_orig_mod", "module", "model", "network", "net"])
"""What wrappers call the module inside: torch.compile, DataParallel, Lightning modules of users."""
ANYWHERE = frozenset(["_orig_mod"])
"""Of these, what may stand before a part of the module, too."""
NAMED = 3
"""Names that an error lists of each kind."""
PLAIN = "a state dict, as torch.save(module.state_dict(), path) or safetensors writes it"


def _is_state_dict(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(item, Tensor) for item in value.values())


def _unnested(loaded: Any, path: Path) -> tuple[dict[str, Any], list[str]]:
    """The state dict in what a file holds, and the keys that lead to it.

    Raises:
        ModelError: there is none.
    """
    found, keys = loaded, []
    while isinstance(found, dict) and not _is_state_dict(found):
        key = next((key for key in NESTS if isinstance(found.get(key), dict)), None)
        if key is None:
            break
        keys.append(key)
        found = found[key]
    if isinstance(found, dict) and (_is_state_dict(found) or keys):
        return found, keys
    if isinstance(loaded, dict):
        listed = ", ".join(shown(str(key), 40) for key in list(loaded)[:NAMED])
        raise ModelError(f"{path} holds no state dict, but {listed or 'nothing'}", expected=PLAIN)
    kind = loaded.name if isinstance(loaded, (Skipped, InertClass)) else type(loaded).__name__
    raise ModelError(f"{path} holds a {shown(kind)}, which is not read", expected=PLAIN)


def read_weights(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the state dict of a file of torch, Lightning or safetensors, as data; nothing in it is executed or imported.

    Returns:
        The weights by name, and the keys of the file that lead to them, such as `state_dict`.

    Raises:
        ModelError: the file cannot be read, or holds no state dict.
    """
    content = content_of(path, MAX_STATE_DICT_BYTES)
    with one_line_errors(path, "checkpoint"):
        if is_safetensors(content):
            return read_tensors(content), []
        del content
        loaded = read_torch_file(path, MAX_STATE_DICT_BYTES, table=PLAIN_GLOBALS, unknown=InertClass)
        found, keys = _unnested(loaded, path)
        return only_tensors(found, path, PLAIN), keys


def _without_wrappers(name: str, own: Mapping[str, Any]) -> str:
    """The name of a weight without the wrappers in and before it; a name of the module's own stays."""
    parts = [part for part in name.split(".") if part not in ANYWHERE] or [""]
    while ".".join(parts) not in own and parts[0] in WRAPPERS and len(parts) > 1:
        del parts[0]
    return ".".join(parts)


def _targets(names: Iterable[str], own: Mapping[str, Any]) -> dict[str, str]:
    """By the name of every weight in a file, the name that it has in the module, as far as wrappers alone differ.

    Wrappers in the names of the module itself are looked through as well. Where two weights would have one name, both
    keep those of the file.
    """
    bare = {_without_wrappers(name, {}): name for name in own}
    targets = {}
    for name in names:
        short = name if name in own else _without_wrappers(name, own)
        targets[name] = short if short in own else bare.get(_without_wrappers(name, {}), short)
    uses = Counter(targets.values())
    return {name: target if uses[target] == 1 else name for name, target in targets.items()}


def _stripped(targets: Mapping[str, str]) -> list[str]:
    """The wrappers that names lose, each once."""
    lost = (Counter(name.split(".")) - Counter(target.split(".")) for name, target in targets.items())
    return list(dict.fromkeys(".".join(parts.elements()) for parts in lost if parts))


def _listed(kind: str, names: Iterable[str]) -> Iterator[str]:
    all_names = list(names)
    if all_names:
        some = ", ".join(shown(name, 60) for name in all_names[:NAMED])
        more = f" and {len(all_names) - NAMED} more" if len(all_names) > NAMED else ""
        yield f"{kind} {some}{more}"


def _misfit(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What is missing, unexpected and misshapen, in one clause; empty where nothing is."""
    both = [name for name in own if name in weights and not is_lazy(own[name])]
    shapes = (
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in both
        if weights[name].shape != own[name].shape
    )
    return "; ".join(
        [
            *_listed("missing", (name for name in own if name not in weights)),
            *_listed("unexpected", (name for name in weights if name not in own)),
            *_listed("of another shape", shapes),
        ]
    )


def _matched(weights: dict[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the names of a module, and what was done to have these, as clauses.

    Beside the model, a Lightning module of the user holds losses and metrics: where the weights of the model lose a
    wrapper, those that have none are left out.
    """
    targets = {} if weights.keys() == own.keys() else _targets(weights, own)
    lost = _stripped(targets)
    if not lost:
        return {targets.get(name, name): value for name, value in weights.items()}, []
    kept = {name: target for name, target in targets.items() if name != target or name in own}
    others = [name for name in weights if name not in kept]
    steps = [f"without {', '.join(shown(f'{wrapper}.', 40) for wrapper in lost[:NAMED])} in their names"]
    return {target: weights[name] for name, target in kept.items()}, [*steps, *_listed("without", others)]


def fill(module: nn.Module, path: Path, warn: Callable[[str], object]) -> None:
    """Load the weights of a module from a file.

    Args:
        module: the module.
        path: the file.
        warn: is called with a sentence that says what was stripped, where anything was.

    Raises:
        ModelError: the file cannot be read, holds no state dict, or one that does not fit.
    """
    weights, keys = read_weights(path)
    own = module.state_dict()
    weights, steps = _matched(weights, own)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = _misfit(weights, own) or shown(" ".join(lines[1:2]), 300)
        raise ModelError(f"model.weights={path} does not fit the module: {reason}") from error
    steps = [*([f"those in its {'.'.join(keys)}"] if keys else []), *steps]
    if steps:
        warn(f"the weights of {shown(path.name)} are taken: {', '.join(steps)}")
