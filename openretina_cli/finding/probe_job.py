"""A command of `openretina probe` from its settings to its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openretina_cli.config.target import prefixed
from openretina_cli.errors import SettingError
from openretina_cli.finding import runs
from openretina_cli.finding.files import png_bytes
from openretina_cli.finding.probe_figure import draw_probes
from openretina_cli.finding.probe_files import (
    all_arrays,
    columns_of,
    headlines,
    packed,
    show_in_run,
    table_text,
    unpacked,
)
from openretina_cli.finding.probe_settings import ProbeSettings
from openretina_cli.finding.probing import OUTSIDE, Listener, Report, amplitudes, probe_neurons
from openretina_cli.finding.runs import type_label
from openretina_cli.models.retina import Retina
from openretina_cli.objective.cells import choose_session, neurons_meant
from openretina_cli.probe.base import Answer, Optimum, Probe, Scene
from openretina_cli.run.model import choose_device
from openretina_cli.store.identity import Files
from openretina_cli.store.probe_folder import ARRAYS, RECORD, TABLE, ProbeFolder

SCHEMA = 1
TRIED_FRAMES = 100
"""Stimulus frames that a module of the user's is tried on."""
SHAPE_NO_NUMBER = ("figures", "runs", "neuron", "group", "session")
"""Settings that are in the identity as what they lead to, or shape no number."""


@dataclass(frozen=True)
class Probed:
    """What a command came to.

    Attributes:
        probes: by name.
        scene: the field, with the neurons.
        session: the session.
        answers: by name of the probe.
        folder: where the files lie.
    """

    probes: Mapping[str, Probe]
    scene: Scene
    session: str
    answers: Mapping[str, Answer]
    folder: Path


def _optima(
    folder: str, retina: Retina, session: str, neurons: Sequence[int], settings: ProbeSettings
) -> dict[int, Optimum]:
    """The MEI of each neuron that finished runs in a folder have.

    Raises:
        SettingError: there is none, or the runs are of another model.
        ArtifactError: none of the runs can be read.
    """
    records, _ = runs.read_records(Path(folder).expanduser())
    runs.check_weights(records, retina.facts)
    found: dict[int, Optimum] = {}
    for stimulus in runs.with_types(records, retina.facts)[0]:
        result = stimulus.result
        if stimulus.kind != "mei" or len(result.neurons) != 1 or result.session != session:
            continue
        if result.neurons[0] in neurons and result.neurons[0] not in found:
            _check_model(result.settings.get("model"), settings.values["model"], stimulus.name)
            values = stimulus.values(retina.facts)
            window = stimulus.window(retina.facts.response_frames(values.shape[1]))
            found[result.neurons[0]] = Optimum(values, window, result.path.parent)
    if not found:
        raise SettingError(
            f"runs={folder} holds no MEI of these neurons", expected="runs of objective=mei, one neuron each"
        )
    return found


def _check_model(stated: object, now: Mapping[str, Any], name: str) -> None:
    """Refuse a run of a model with other settings, such as centred readouts.

    Raises:
        SettingError: a setting differs.
    """
    before = stated if isinstance(stated, Mapping) else {}
    for key in sorted({*before, *now} - {"note", "min_quality"}):
        if before.get(key) != now.get(key):
            raise SettingError(f"the run {name} was made with another model.{key}", expected="the same model as here")


def _scene(settings: ProbeSettings, retina: Retina) -> tuple[Scene, str]:
    facts = retina.facts
    session = choose_session(facts, settings.session)
    neurons = neurons_meant(facts, session, settings.neuron, settings.group)
    optima = {} if settings.runs is None else _optima(settings.runs, retina, session, neurons, settings)
    scene = Scene(facts, neurons, amplitudes(facts, settings.amplitude), settings.seed, optima=optima)
    return scene, session


def _check(probes: Mapping[str, Probe], settings: ProbeSettings, scene: Scene) -> None:
    """Check probes against the model.

    Raises:
        SettingError: one does not fit it.
    """
    for name, probe in probes.items():
        option = settings.probe[name]
        try:
            probe.check(scene)
            probe.frames(scene)
        except SettingError as error:
            raise prefixed(error, option.prefix, option.arguments) from error


def _identity(settings: ProbeSettings, scene: Scene, session: str) -> dict[str, Any]:
    """Everything that shapes the numbers."""
    values = {key: value for key, value in settings.values.items() if key not in SHAPE_NO_NUMBER}
    optima = {
        str(neuron): hashlib.sha256(one.values.tobytes() + str(one.window).encode()).hexdigest()
        for neuron, one in scene.optima.items()
    }
    recorded = Files().identity(values, scene.facts.sha256).recorded()
    return {**recorded, "session": session, "neurons": list(scene.neurons), "mei": optima}


def figure_name(neuron: int) -> str:
    """The file of a neuron's figure."""
    return f"neuron_{neuron}.png"


def run_probes(
    settings: ProbeSettings, probes: Mapping[str, Probe], folder: ProbeFolder, retina: Retina, report: Report
) -> Probed | None:
    """Play probes to a model and write what they find.

    Args:
        settings: of the command.
        probes: by name, as `build_probes` makes them.
        folder: where the files go.
        retina: the model, on its device.
        report: called with progress.

    Returns:
        What was found; None where the folder holds all of it.

    Raises:
        OpenRetinaError: a setting does not fit the model, or the model fails.
    """
    scene, session = _scene(settings, retina)
    _check(probes, settings, scene)
    folder.open(_identity(settings, scene, session))
    retina.examine(session)
    names = [figure_name(neuron) for neuron in scene.neurons] if settings.figures else []
    if folder.finished and all((folder.path / name).is_file() for name in names):
        return None
    listener = Listener(retina, session, scene.neurons, choose_device(settings.device))

    def known(name: str) -> Answer | None:
        kept = folder.known(name)
        return None if kept is None else unpacked(kept)

    answers = probe_neurons(
        probes, scene, listener, known, lambda name, answer: folder.keep(name, packed(answer)), report
    )
    if not folder.lists(names):
        folder.write(
            all_arrays(answers, scene.facts, session, scene.neurons),
            table_text(answers, scene.facts, session, scene.neurons),
            _record(settings, scene, session, answers, names),
        )
    for number, (neuron, name) in enumerate(zip(scene.neurons, names, strict=False)):
        if not (folder.path / name).is_file():
            title = f"{scene.facts.name}, {session} neuron {neuron}"
            label = type_label(scene.facts, session, neuron)
            figure = draw_probes(probes, scene, answers, number, f"{title}, {label}" if label else title)
            folder.add(name, png_bytes(figure))
        report("drawing", number + 1, len(names))
    folder.close()
    # last, as the runs may lie where nobody may write
    for number, (neuron, name) in enumerate(zip(scene.neurons, names, strict=False)):
        if (optimum := scene.optima.get(neuron)) is not None:
            show_in_run(optimum.folder, headlines(probes, answers, number), folder.figure(name))
    return Probed(probes, scene, session, answers, folder.path)


def _record(
    settings: ProbeSettings,
    scene: Scene,
    session: str,
    answers: Mapping[str, Answer],
    names: Sequence[str],
) -> dict[str, Any]:
    """What `probe.json` holds."""
    facts = scene.facts
    return {
        "schema": SCHEMA,
        "settings": {key: value for key, value in settings.values.items() if key != "out"},
        "model": {"name": facts.name, "sha256": facts.sha256, "note": facts.note, "members": facts.members},
        "session": session,
        "neurons": list(scene.neurons),
        "channels": list(facts.channels),
        "frame_rate_hz": facts.frame_rate,
        "pixel_size_um": facts.pixel_size,
        "amplitude": scene.amplitude.tolist(),
        OUTSIDE: {name: float(one.axes[OUTSIDE]) for name, one in answers.items()},
        "columns": list(columns_of(answers)),
        "files": [ARRAYS, TABLE, RECORD, *names],
    }
