"""The twelve functional types of the simulated ganglion cells, as tables of constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Weights = Mapping[str, float]


@dataclass(frozen=True)
class CellType:
    """What a ganglion cell pools. Sizes are in pixels of 50 um, times in frames of 1/30 s.

    Groups are numbered as in Baden et al. (2016, Nature, doi:10.1038/nature16468), who found 46; a type that has no
    group of its own there comes after them. The constants are hand-set caricatures of what is described of each type,
    not fits to data.

    Attributes:
        group: functional group.
        name: what the type does.
        excitation: weight of each bipolar channel that excites.
        inhibition: weight of each bipolar channel whose amacrine cells inhibit.
        sigma: of the Gaussian pooling of excitation, along and across the cell's axis.
        inhibition_sigma: of the pooling of inhibition.
        displacement: of the inhibition, along the cell's axis.
        flanks: distance of two inhibitory flanks on both sides of the cell's axis; zero for a single one.
        tau: time constant of the inhibition.
        delay: of the inhibition.
        axes: directions of the axis, in degrees, that cells of the type take in turn.
        threshold: of the output, in standard deviations of the drive to movies.
        adaptation: strength of the divisive contrast gain control.
        rate: mean rate to movies, per frame.
    """

    group: int
    name: str
    excitation: Weights = field(default_factory=dict)
    inhibition: Weights = field(default_factory=dict)
    sigma: tuple[float, float] = (1.2, 1.2)
    inhibition_sigma: tuple[float, float] = (2.5, 2.5)
    displacement: float = 0.0
    flanks: float = 0.0
    tau: float = 2.0
    delay: int = 0
    axes: tuple[float, ...] = (0.0,)
    threshold: float = 0.0
    adaptation: float = 0.0
    rate: float = 1.0


CELL_TYPES: tuple[CellType, ...] = (
    CellType(4, "OFF slow", {"OFF slow": 1.0}, {"OFF slow": 0.2}, sigma=(1.5, 1.5)),
    CellType(7, "OFF sustained", {"OFF sustained": 1.0}, {"OFF sustained": 0.2}),
    # crossover inhibition from the ON pathway keeps transient OFF alpha cells silent when light comes on
    CellType(
        8,
        "OFF transient alpha",
        {"OFF transient": 1.0},
        {"ON transient": 0.3},
        sigma=(1.8, 1.8),
        inhibition_sigma=(2.0, 2.0),
        tau=1.5,
        threshold=0.2,
        adaptation=0.4,
    ),
    # wide inhibition of both polarities leaves a response to small features only, as in W3 cells (Zhang et al. 2012,
    # PNAS 109:E2391, doi:10.1073/pnas.1211547109)
    CellType(
        10,
        "ON-OFF local edge",
        {"ON transient": 0.5, "OFF transient": 0.5},
        {"ON transient": 0.4, "OFF transient": 0.4},
        sigma=(0.8, 0.8),
        inhibition_sigma=(2.8, 2.8),
        threshold=0.2,
    ),
    # inhibition displaced towards the side from which null motion comes, and slower than excitation (Barlow & Levick
    # 1965, J Physiol 178:477, doi:10.1113/jphysiol.1965.sp007638)
    CellType(
        16,
        "ON direction selective",
        {"ON transient": 1.0},
        {"ON transient": 0.9},
        sigma=(1.0, 1.0),
        inhibition_sigma=(1.2, 1.2),
        displacement=1.6,
        tau=3.0,
        axes=(0.0, 90.0, 180.0, 270.0),
        threshold=0.2,
    ),
    CellType(
        18,
        "ON transient",
        {"ON transient": 1.0},
        {"ON transient": 0.2},
        sigma=(1.4, 1.4),
        threshold=0.2,
        adaptation=0.4,
    ),
    CellType(22, "ON sustained", {"ON sustained": 1.0}, {"ON sustained": 0.2}),
    CellType(27, "ON slow", {"ON slow": 1.0}, {"ON slow": 0.2}, sigma=(1.5, 1.5)),
    # UV-ON and green-OFF input meet (Höfling et al. 2024, eLife 13:e86860)
    CellType(28, "UV-ON green-OFF opponent", {"UV-ON opponent": 0.5, "green-OFF opponent": 0.5}, sigma=(1.5, 1.5)),
    CellType(
        30,
        "ON orientation selective",
        {"ON sustained": 1.0},
        {"ON sustained": 0.7},
        sigma=(2.2, 0.6),
        inhibition_sigma=(2.2, 0.8),
        flanks=1.8,
        tau=1.5,
        axes=(0.0, 90.0),
    ),
    # no excitation but a tonic drive, which contrast of either polarity takes away; twins learn its small modulation
    # only if the rate is not small too
    CellType(
        31,
        "suppressed by contrast",
        {},
        {"ON transient": 0.5, "OFF transient": 0.5},
        inhibition_sigma=(1.2, 1.2),
        tau=1.5,
        threshold=-0.4,
        rate=2.0,
    ),
    CellType(47, "UV-ON", {"UV-ON": 1.0}),
)
"""The types in the order of their groups."""

GROUP_NAMES: dict[int, str] = {cell_type.group: cell_type.name for cell_type in CELL_TYPES}
