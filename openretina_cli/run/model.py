"""From the settings of a model to a retina on a device, kept across runs with what trying it showed."""

from __future__ import annotations

import torch

from openretina_cli.config.given import NOTHING, Given
from openretina_cli.config.settings import Settings
from openretina_cli.config.target import Option, build, takes
from openretina_cli.errors import SettingError
from openretina_cli.models.download import Report
from openretina_cli.models.probe import Probe, probe
from openretina_cli.models.retina import Retina
from openretina_cli.models.seeding import seeded
from openretina_cli.objective.cells import choose_session
from openretina_cli.run.problem import Plan, plan_run
from openretina_cli.run.restarts import starts_of

LARGEST_STACK = {"cpu": 32, "cuda": 256, "mps": 64}
"""Runs in one stack, by device; beyond it a CPU gains nothing, and a GPU has filled up (which is a guess)."""
CPU_ACTIVATIONS = 16 * 5_900_000
"""Bytes of activations, as `probe` counts them, that a stack on the CPU may hold: 16 runs of the published ensemble.
There 1 run took 4.5 ms per iteration, 8 runs 2.4 ms each, 16 runs 2.35, 32 runs 3.1: more no longer fit the caches."""
GPU_SHARE = 0.25
"""Share of a GPU's free memory that activations may take, as `probe` counts them; gradients need as much again."""
BLOCK = 30 << 20
"""Bytes, just below the 32 MiB above which glibc gives freed memory back to the kernel in any case (mallopt(3))."""


def choose_device(name: str) -> torch.device:
    """The device that a setting means; "auto" is a GPU where there is one.

    Raises:
        SettingError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        expected = f"cuda:0 to cuda:{count - 1}" if count else "cpu, as torch finds no CUDA device here"
        raise SettingError(f"device={name} is not here", expected=expected, repair="device=auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SettingError("device=mps is not here", expected="an Apple GPU", repair="device=auto")
    return device


def build_model(option: Option, frames: int, device: torch.device, report: Report | None = None) -> Retina:
    """Load a model onto a device.

    Args:
        option: which model.
        frames: stimulus frames, on which a module of the user's is tried.
        device: where to put the model.
        report: called with the progress of a download.

    Raises:
        ModelError: the checkpoint is missing, broken or hostile, or the module cannot be used.
        DownloadError: the checkpoint could not be downloaded.
        SettingError: a setting of it is wrong.
    """
    offered = {"frames": frames, "device": device, "report": report}
    with seeded(device):  # weights that the user's code draws are the same in every run
        return build(option, Retina, offered, nested={}).to(device)


def _keep_freed_memory() -> None:
    """Free one large block, after which glibc keeps what is freed: the next iteration finds warm pages.

    Stacks on a CPU are 10 to 25 % faster for it; other allocators do not mind.
    """
    torch.empty(BLOCK, dtype=torch.uint8)


class Workbench:
    """Plans runs, one after another or many together; runs of one model load and try it once.

    Args:
        report: told how a download goes on.
        given: objects in memory that take the place of options.
    """

    def __init__(self, report: Report | None = None, given: Given = NOTHING) -> None:
        self._report, self._given = report, given
        self._retina: Retina | None = None
        self._made_for: tuple[object, ...] | None = None
        self._probes: dict[tuple[str, int], Probe] = {}
        self.device = torch.device("cpu")

    def retina(self, settings: Settings) -> Retina:
        """The model of a run, on its device; the one before is kept if it is the same.

        Raises:
            OpenRetinaError: the model cannot be had, or there is no such device.
        """
        # a model that is tried when it is loaded, is tried on stimuli of one length
        frames = settings.frames if takes(settings.model, "frames") else None
        wanted = (settings.model, frames, settings.device)
        if self._retina is None or self._made_for != wanted:
            self._retina = None  # two models need not fit into memory
            self._probes = {}
            self.device = choose_device(settings.device)
            option = self._given.fill(settings).model
            self._retina = build_model(option, settings.frames, self.device, self._report)
            self._made_for = wanted
            _keep_freed_memory()
        return self._retina

    def plan(self, settings: Settings) -> Plan:
        """Build everything that one run needs.

        Raises:
            OpenRetinaError: a setting does not fit the model, or the model cannot be used.
        """
        retina = self.retina(settings)
        session = choose_session(retina.facts, settings.session)
        probed = self._probed(retina, session, settings.frames)
        return plan_run(self._given.fill(settings), retina, self.device, probed)

    def stack_size(self, settings: Settings) -> int:
        """How many runs like this one are best solved as one stack.

        Raises:
            OpenRetinaError: the model cannot be used.
        """
        retina = self.retina(settings)
        session = choose_session(retina.facts, settings.session)
        each = max(self._probed(retina, session, settings.frames).activation_bytes, 1)
        budget = CPU_ACTIVATIONS
        if self.device.type == "cuda":
            budget = int(torch.cuda.mem_get_info(self.device)[0] * GPU_SHARE)
        return max(min(budget // each, LARGEST_STACK[self.device.type]) // starts_of(settings), 1)

    def _probed(self, retina: Retina, session: str, frames: int) -> Probe:
        """What trying a session told; each is tried once."""
        asked = (session, frames)
        if asked not in self._probes:
            self._probes[asked] = probe(retina, session, frames, self.device)
        return self._probes[asked]
