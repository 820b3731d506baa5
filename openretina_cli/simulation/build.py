"""Builds the bundled checkpoint from nothing: `python -m openretina_cli.simulation.build`.

An interrupted build goes on where it stopped. Movies, recordings, initial weights and the order of clips follow from
seeds and are the same to the bit on one machine and torch version; sums in another order, on another processor or with
another number of threads, make trained weights differ, but their correlations by little.
"""

from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from torch import Tensor

from openretina_cli.models.ensemble import load_ensemble
from openretina_cli.models.member_files import MemberFiles
from openretina_cli.models.twin import EnsembleModel, Twin
from openretina_cli.simulation.cell_types import GROUP_NAMES
from openretina_cli.simulation.movies import CHANNELS, CLIP_FRAMES, HEIGHT, WIDTH
from openretina_cli.simulation.recording import (
    TEST_SEED,
    TRAINING_SEED,
    VALIDATION_SEED,
    Recording,
    by_type,
    held_out_correlations,
    record,
)
from openretina_cli.simulation.retina import SESSIONS, SimulatedRetina
from openretina_cli.simulation.training import MODEL_CONFIG, Report, Schedule, torch_bytes, train_member
from openretina_cli.store.aside import write_whole
from openretina_cli.store.package import PACKAGE
from openretina_cli.terminal.console import SafeConsole, make_console
from openretina_cli.terminal.progress import Bar
from openretina_cli.terminal.tables import columns_table

if TYPE_CHECKING:
    from openretina_cli.terminal.tables import Table

MODEL_FN = "nnfabrik_euler.models.models.SFB3d_core_SxF3d_readout"
"""What the published configs name as the function that builds the model; readers of the layout expect it."""

SEEDS = (0, 1000, 2000, 3000, 4000)
"""Those of the published ensemble."""

VALIDATION_CLIPS, TEST_CLIPS = 16, 60

SHIPPED = PACKAGE / "simulated_retina"
"""Where the package keeps the checkpoint."""


def config_text() -> str:
    """The config of a member, the same for all; its tuples carry the published files' YAML tags."""
    text: str = yaml.dump({"model_fn": MODEL_FN, "model_config": MODEL_CONFIG})
    return text


def data_info(retina: SimulatedRetina, recording: Recording, schedule: Schedule) -> dict[str, dict[str, Any]]:
    """What the layout says of each session, with groups added: `group_assignment` and `group_names`.

    `roi_coords` are the cells' rows and columns in pixels.
    """
    return {
        session: {
            "input_dimensions": torch.Size([schedule.batch, len(CHANNELS), CLIP_FRAMES, HEIGHT, WIDTH]),
            "input_channels": len(CHANNELS),
            "output_dimension": truth.shape[-1],
            "img_h": HEIGHT,
            "img_w": WIDTH,
            "mean_response": truth.mean(dim=(0, 1)).numpy(),
            "roi_coords": np.array([(c.row, c.column) for c in retina.session(session).cells], dtype=np.float32),
            "group_assignment": np.array(retina.session(session).groups),
            "group_names": dict(GROUP_NAMES),
        }
        for session, truth in recording.responses.items()
    }


def write_member(folder: Path, seed: int, twin: Twin, info: dict[str, dict[str, Any]]) -> None:
    """Write the three files of one member; each appears whole or not at all, and the config, which names it, last."""
    folder.mkdir(parents=True, exist_ok=True)
    # plain: the state dict that a module returns carries torch's own notes along
    weights = OrderedDict(twin.state_dict().items())
    files = MemberFiles.of_seed(folder, f"{seed:05d}")
    contents = {
        files.state_dict: torch_bytes(weights),
        files.data_info: pickle.dumps(info, protocol=4),  # which every supported Python reads
        files.config: config_text().encode(),
    }
    write_whole(folder, {path.name: content for path, content in contents.items()})


def build(output: Path, work: Path, schedule: Schedule, console: SafeConsole) -> None:
    """Train the members one after another and write each as soon as it is ready.

    Args:
        output: folder of the checkpoint.
        work: folder of the interrupted trainings.
        schedule: how long and how hard to train.
        console: where progress is shown.
    """
    work.mkdir(parents=True, exist_ok=True)
    with console.status("playing movies to the simulated retina"):
        retina = SimulatedRetina()
        recording = record(retina, schedule.clips, TRAINING_SEED, schedule.artificial)
        held_out = record(retina, VALIDATION_CLIPS, VALIDATION_SEED)
    info = data_info(retina, recording, schedule)
    for seed in SEEDS:
        with Bar(console, f"seed {seed}", schedule.epochs) as bar:
            twin = train_member(seed, recording, held_out, schedule, work, reporter(bar, console))
        write_member(output, seed, twin, info)


def reporter(bar: Bar, console: SafeConsole) -> Report:
    """Shows a member's training as a bar; where there is no terminal, as a line per epoch."""

    def report(seed: int, epoch: int, epochs: int, loss: float, correlation: float) -> None:
        text = f"loss {loss:.4f}, held-out correlation {correlation:.4f}"
        bar.move(epoch, epochs, note=text)
        if not console.is_terminal:
            console.print(f"seed {seed}: {text}, epoch {epoch} of {epochs}")

    return report


def tables(ensemble: EnsembleModel, retina: SimulatedRetina, recording: Recording) -> list[Table]:
    """Held-out correlations by session and type, for each member and for the ensemble."""
    found = [held_out_correlations(model, recording) for model in (*ensemble.members, ensemble)]
    return [table(session, [model[session] for model in found], retina.session(session).groups) for session in SESSIONS]


def table(session: str, found: Sequence[Tensor], groups: Sequence[int]) -> Table:
    """One session's table; `found` has the correlations `(neuron,)` of each member, and of the ensemble last."""
    title = f"{session}: held-out correlation with the noiseless truth, by member, of the ensemble, of its worst cell"
    numbers = ("group", *(f"{index}" for index in range(len(found) - 1)), "ensemble", "worst")
    grid = columns_table((numbers[0], "type", *numbers[1:]), numbers, title)
    split = [by_type(values, groups) for values in found]
    for group in split[-1]:
        rows = [values[group] for values in split]
        grid.add_row(str(group), GROUP_NAMES[group], *_figures(rows))
    grid.add_row("", "all types", *_figures(found))
    return grid


def _figures(found: Sequence[Tensor]) -> list[str]:
    return [*(f"{values.mean():.3f}" for values in found), f"{found[-1].min():.3f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the checkpoint, then print what its files achieve on movies of another seed."""
    parser = argparse.ArgumentParser(prog="python -m openretina_cli.simulation.build", description=__doc__)
    parser.add_argument("--output", type=Path, default=SHIPPED, help="folder of the checkpoint")
    parser.add_argument("--work", type=Path, default=Path("build/simulated_retina"), help="folder to resume from")
    parser.add_argument("--epochs", type=int, default=Schedule.epochs)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    console = make_console()
    schedule = Schedule(epochs=chosen.epochs)
    build(chosen.output, chosen.work, schedule, console)
    retina = SimulatedRetina()
    recording = record(retina, TEST_CLIPS, TEST_SEED)
    with torch.no_grad():
        for grid in tables(load_ensemble(chosen.output), retina, recording):
            console.print(grid)


if __name__ == "__main__":
    main()
