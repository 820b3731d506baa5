"""One run as the report sees it: the facts in its files, as far as they can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from openretina_cli.artifacts.folder import FAILURE, RESULT
from openretina_cli.report.names import CONFIG, LINKED, link, shown_name
from openretina_cli.report.values import Node, flatten, read_json, read_yaml

COMPLETED, DIVERGED, FAILED, UNREADABLE = "completed", "diverged", "failed", "unreadable"

NOT_OF_THE_RUN = ("out", "overwrite", "fail_fast")
"""Settings that say where a run went, not what it was."""


@dataclass(frozen=True)
class Setup:
    """What runs of one sweep mostly share.

    Attributes:
        channels: their names.
        frame_rate: Hz.
        pixel_size: um per pixel edge.
        lag: stimulus frames before the first response.
        window: response frames `[start, stop)` that were optimised.
        constraints: what the stimulus had to obey.
        model: name of the model.
        source: where it came from.
        note: what a reader must know of it.
        device: where the run was computed.
        versions: of the software.
    """

    channels: tuple[str, ...] = ()
    frame_rate: float | None = None
    pixel_size: float | None = None
    lag: int = 0
    window: tuple[int, int] | None = None
    constraints: tuple[str, ...] = ()
    model: str = ""
    source: str = ""
    note: str = ""
    device: str = ""
    versions: str = ""


@dataclass(frozen=True)
class ChannelNumbers:
    """The numbers of one channel of a stimulus; None where not known."""

    low: float | None = None
    high: float | None = None
    explained_variance: float | None = None
    centre_frequency: float | None = None
    polarity: str | None = None


@dataclass(frozen=True)
class Run:
    """The facts of one run; None or empty where they are not known.

    Attributes:
        path: its folder.
        name: the folder's name below the report's, as text.
        href: the folder's address in links.
        status: completed, diverged, failed, or unreadable.
        error: why it is not completed.
        kind: kind of the objective, such as "mei".
        settings: by dotted names.
        numbers: per channel name.
        files: those of the known files that are there.
        shape: `(channel, time, height, width)` of the stimulus that was read.
    """

    path: Path
    name: str
    href: str
    status: str
    error: str = ""
    session: str = ""
    neurons: tuple[int, ...] = ()
    cell_types: tuple[str, ...] = ()
    seed: int | None = None
    kind: str = ""
    objective: str = ""
    initial: float | None = None
    final: float | None = None
    best: float | None = None
    iterations: int | None = None
    stop_reason: str = ""
    norm: float | None = None
    wall_time: float | None = None
    finished: str = ""
    warnings: tuple[str, ...] = ()
    setup: Setup = Setup()
    settings: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, ChannelNumbers] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None


def read_run(path: Path, root: Path) -> Run:
    """The facts of the run in a folder; whatever the folder holds, this never fails."""
    files = tuple(name for name in LINKED if _is_there(path / name))
    run = Run(path, shown_name(path, root), link(path, root), UNREADABLE, files=files)
    result = read_json(path / RESULT)
    if isinstance(result.value, Mapping):
        return _finished(run, result, read_settings(path, result))
    failure = read_json(path / FAILURE)
    if isinstance(failure.value, Mapping):
        return _failed(run, failure, read_settings(path, failure))
    broken = next((name for name in (RESULT, FAILURE) if name in files), None)
    return replace(run, error=f"{broken} cannot be read" if broken else f"there is no {RESULT}: it was not finished")


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def read_settings(path: Path, result: Node) -> Mapping[str, str]:
    """The settings of a run, from its result or else from Hydra's record, without where the run was put."""
    settings = result["settings"] if isinstance(result["settings"].value, Mapping) else read_yaml(path / CONFIG)
    return {name: text for name, text in flatten(settings).items() if name not in NOT_OF_THE_RUN}


def _finished(run: Run, result: Node, settings: Mapping[str, str]) -> Run:
    objective, setup = result["objective"], _setup(result)
    status = DIVERGED if result["status"].text == DIVERGED else COMPLETED
    return replace(
        _who(run, result, settings),
        status=status,
        error=result["failure"].text or "",
        objective=objective["text"].text or "",
        initial=objective["initial"].number,
        final=objective["final"].number,
        best=objective["best"].number,
        iterations=result["iterations"].integer,
        stop_reason=result["stop_reason"].text or "",
        norm=result["stimulus"]["norm"].number,
        wall_time=result["wall_time_s"].number,
        warnings=result["warnings"].texts,
        setup=setup,
        numbers={channel: _numbers(result, channel) for channel in setup.channels},
    )


def _failed(run: Run, failure: Node, settings: Mapping[str, str]) -> Run:
    error = failure["error"].text or failure["failure"].text or "no reason was given"
    return replace(_who(run, failure, settings), status=FAILED, error=error)


def _who(run: Run, result: Node, settings: Mapping[str, str]) -> Run:
    """What results and failures share."""
    neurons = result["neurons"].integers or result["neuron"].integers
    single = result["neuron"].integer
    return replace(
        run,
        session=result["session"].text or "",
        neurons=neurons if single is None else (single,),
        cell_types=tuple(dict.fromkeys(result["cell_types"].texts)),
        seed=result["seed"].integer,
        kind=settings.get("objective.kind", ""),
        finished=result["finished"].text or "",
        settings=settings,
    )


def _setup(result: Node) -> Setup:
    window, model, lag = result["window_response_frames"].integers, result["model"], result["lag_frames"].integer
    versions = result["versions"].value if isinstance(result["versions"].value, Mapping) else {}
    return Setup(
        channels=tuple(dict.fromkeys(result["channels"].texts)),
        frame_rate=_positive(result["frame_rate_hz"]),
        pixel_size=_positive(result["pixel_size_um"]),
        lag=max(lag or 0, 0),
        window=(window[0], window[1]) if len(window) == 2 else None,
        constraints=result["constraints"].texts,
        model=model["name"].text or "",
        source=model["source"].text or "",
        note=model["note"].text or "",
        device=result["device"].text or "",
        versions=Node(", ".join(f"{name} {text}" for name, text in versions.items())).text or "",
    )


def _positive(node: Node) -> float | None:
    return node.number if node.number and node.number > 0 else None


def _numbers(result: Node, channel: str) -> ChannelNumbers:
    limits = [item.number for item in result["stimulus"]["range"][channel].items]
    low, high = limits if len(limits) == 2 else (None, None)
    described = result["description"][channel]
    polarity = described["polarity"].text
    return ChannelNumbers(
        low=low,
        high=high,
        explained_variance=described["explained_variance"].number,
        centre_frequency=described["centre_frequency_hz"].number,
        polarity=polarity if polarity in ("on", "off") else None,
    )
