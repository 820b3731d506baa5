"""Lightning checkpoints of openretina's core + readout family: numbers, facts, and files that are refused."""

from __future__ import annotations

import csv
import io
import os
import pickle
import pickletools
import random
import signal
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CORE_READOUTS
from memory import forget_peak, growth_mb, peak_mb
from numpy.typing import NDArray

from openretina_cli import (
    ChangeNormJointlyClipRangeSeparately,
    IncreaseObjective,
    OptimizationStopper,
    Problem,
    SliceMeanReducer,
    optimize_stack,
)
from openretina_cli.errors import ModelError, OpenRetinaError
from openretina_cli.main import main
from openretina_cli.models.core_readout.load import load_core_readout
from openretina_cli.models.facts import Presentation

with tarfile.open(CORE_READOUTS) as members:
    NAMES = members.getnames()
CASES = sorted(name.removesuffix(".npz") for name in NAMES if name.endswith(".npz") and not name.startswith("single"))
OPTIMISED = sorted(set(CASES) - {"numpy_1", "on_gpu"})
HARMLESS = {
    "unharmed.ckpt",
    "code_in_target_of_loss.ckpt",
    "huge_input.ckpt",
    "path_outside.ckpt",
}
HOSTILE = sorted(Path(name).name for name in NAMES if name.startswith("hostile/") and Path(name).name not in HARMLESS)
Golden = Mapping[str, NDArray[np.float32]]


def golden(zoo: Path, case: str) -> tuple[Path, Golden]:
    """The checkpoint of a case, and its numbers."""
    with np.load(zoo / f"{case}.npz", allow_pickle=False) as file:
        numbers = dict(file)
    checkpoint = zoo / str(numbers["checkpoint"])
    if "seed" in numbers:  # what torch draws from a seed is the same in every version, and takes no place
        torch.manual_seed(int(numbers["seed"]))
        numbers["probe"] = torch.randn(*numbers["shape"]).numpy()
        numbers["mei/initial"] = numbers["probe"][:1] * np.float32(0.1)
    return (checkpoint, golden(zoo, str(numbers["same_as"]))[1]) if "same_as" in numbers else (checkpoint, numbers)


def difference(found: object, expected: NDArray[np.float32]) -> float:
    """Relative, in the L2 norm."""
    found = np.asarray(found, dtype=np.float64)
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def sessions(numbers: Golden, kind: str) -> dict[str, NDArray[np.float32]]:
    return {name.removeprefix(f"{kind}/"): value for name, value in numbers.items() if name.startswith(f"{kind}/")}


# --- numbers


@pytest.mark.parametrize("case", CASES)
def test_responses_agree_with_the_public_package(zoo: Path, case: str) -> None:
    path, numbers = golden(zoo, case)
    model, probe = load_core_readout(path), torch.from_numpy(numbers["probe"])
    expected = sessions(numbers, "responses")
    assert list(model.facts.sessions) == list(expected)
    for session, response in expected.items():
        assert difference(model(probe, data_key=session), response) < 1e-5
        assert model.facts.response_frames(probe.shape[2]) == response.shape[1]
        assert model.facts.sessions[session] == response.shape[2]


@pytest.mark.parametrize("case", OPTIMISED)
def test_gradient_and_optimisation_agree_with_the_public_package(zoo: Path, case: str) -> None:
    path, numbers = golden(zoo, case)
    model, mei = load_core_readout(path), sessions(numbers, "mei")
    session, neuron = str(mei["session"]), int(mei["neuron"])
    stimulus = torch.from_numpy(numbers["probe"])[:1].requires_grad_(True)
    if "gradient" in numbers:
        (gradient,) = torch.autograd.grad(model(stimulus, data_key=session)[..., neuron].sum(), stimulus)
        assert difference(gradient[0], numbers["gradient"]) < 1e-4
    window = SliceMeanReducer(axis=0, start=int(mei["start"]), length=int(mei["length"]))
    ranges = [(float(low), float(high)) for low, high in mei["range"]]
    (outcome,) = optimize_stack(
        [
            Problem(
                torch.from_numpy(mei["initial"]).reshape(stimulus.shape[1:]),
                IncreaseObjective(model, neuron, session, window),
                partial(torch.optim.SGD, lr=float(mei["lr"])),
                OptimizationStopper(int(mei["iterations"])),
                [ChangeNormJointlyClipRangeSeparately(ranges, float(mei["norm"]))],
                [],
            )
        ]
    )
    objectives = np.array([step.objective for step in outcome.history])
    np.testing.assert_allclose(objectives[: len(mei["objective_per_iteration"])], mei["objective_per_iteration"], 1e-5)
    if "final_objective" in mei:
        np.testing.assert_allclose(outcome.objective, mei["final_objective"], 1e-5)
    assert difference(outcome.stimulus.reshape(mei["stimulus"].shape), mei["stimulus"]) < 1e-4


@pytest.mark.parametrize(
    "case",
    [
        *("trained", "seeds", "gru_recurrent", "point_gaussian_shared", "downsample_time", "lnp_exp"),
        *("factorised", "greyscale", "high_res", "low_res", "point_gaussian", "time_independent"),
    ],
)
def test_the_command_agrees_with_the_public_package_by_overrides_alone(zoo: Path, tmp_path: Path, case: str) -> None:
    path, numbers = golden(zoo, case)
    mei = sessions(numbers, "mei")
    torch.save(torch.from_numpy(mei["initial"]).reshape(1, *numbers["probe"].shape[1:]), tmp_path / "initial.pt")
    ranges = "[" + ",".join(f"[{low},{high}]" for low, high in mei["range"].tolist()) + "]"
    overrides = [
        *("model=core_readout", f"model.path={path}", f"model.stimulus_range={ranges}", "device=cpu"),
        *(f"session={mei['session']}", f"neuron={mei['neuron']}"),
        *(f"reducer.start={mei['start']}", f"reducer.length={mei['length']}"),
        *(f"optimizer.lr={mei['lr']}", f"stopper.max_iterations={mei['iterations']}"),
        *(f"stimulus.frames={numbers['probe'].shape[2]}", f"stimulus.norm={mei['norm']}"),
        *(f"stimulus.file={tmp_path / 'initial.pt'}", f"out={tmp_path / 'out'}", "output=minimal"),
    ]
    assert main(["optimize", *overrides]) == 0
    with (tmp_path / "out" / "history.csv").open() as file:
        objectives = [float(row["objective"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(objectives[: len(mei["objective_per_iteration"])], mei["objective_per_iteration"], 1e-5)
    stimulus = torch.load(tmp_path / "out" / "stimulus.pt", weights_only=True)
    assert difference(stimulus.reshape(mei["stimulus"].shape), mei["stimulus"]) < 1e-4


@pytest.mark.parametrize(
    "case", ["colour_squash", "deep_custom_separable", "gru_core", "legacy", "legacy_2025", "seeds"]
)
def test_centred_masks_agree_with_the_public_package(zoo: Path, case: str) -> None:
    path, numbers = golden(zoo, case)
    model, probe = load_core_readout(path, center_readouts=True), torch.from_numpy(numbers["probe"])
    for session, response in sessions(numbers, "responses_centered").items():
        assert difference(model(probe, data_key=session), response) < 1e-5


@pytest.mark.parametrize("case", ["full", "factorised", "lnp_exp", "spatial_contrast"])
def test_neurons_without_a_mask_are_not_centred_and_the_refusal_says_why(zoo: Path, case: str) -> None:
    path, _ = golden(zoo, case)
    with pytest.raises(
        ModelError, match=r"center_readouts moves Gaussian masks, and this model's .*model\.center_readouts=false"
    ):
        load_core_readout(path, center_readouts=True)


def test_a_list_of_files_is_an_ensemble_and_members_choose_among_them(zoo: Path) -> None:
    folder, numbers = golden(zoo, "seeds")
    files = sorted(folder.iterdir(), key=lambda file: int(file.stem.removeprefix("seed_")))
    probe, session = torch.from_numpy(numbers["probe"]), next(iter(sessions(numbers, "responses")))
    singles = torch.stack([load_core_readout(file)(probe, data_key=session) for file in files])
    whole, listed = load_core_readout(folder), load_core_readout(files[::-1])
    assert (whole.facts.members, listed.facts.members) == (3, 3)
    torch.testing.assert_close(whole(probe, data_key=session), singles.mean(0))
    torch.testing.assert_close(listed(probe, data_key=session), singles.mean(0))
    torch.testing.assert_close(load_core_readout(folder, members=[2])(probe, data_key=session), singles[2])
    with pytest.raises(ModelError, match=r"model.members=\[3\] names member 3; expected 0 to 2"):
        load_core_readout(folder, members=[3])


def test_members_of_another_architecture_and_folders_without_members_are_refused(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="differ in stimulus, sessions or frames"):
        load_core_readout([zoo / "full.ckpt", zoo / "downsample.ckpt"])
    with pytest.raises(ModelError, match=r"holds no checkpoint; expected files such as seed_0\.ckpt"):
        load_core_readout(tmp_path)
    with pytest.raises(ModelError, match="does not exist"):
        load_core_readout(tmp_path / "none.ckpt")


# --- facts


def test_facts_come_from_the_file(zoo: Path) -> None:
    facts = load_core_readout(zoo / "separable.ckpt").facts
    assert dict(facts.sessions) == {"session_1_ventral1_20200528": 5, "session_2_ventral2_20201117": 4}
    assert (facts.height, facts.width, facts.channels) == (12, 10, ("channel 0", "channel 1"))
    assert (facts.lag, facts.response_stride, facts.frame_rate, facts.pixel_size) == (30, 1, 30.0, 50.0)
    assert facts.groups["session_1_ventral1_20200528"] == (15, 18, 1, 27, 21)
    assert facts.stimulus_range is not None
    assert facts.grey_levels is not None
    mean, deviation = facts.grey_levels
    assert facts.stimulus_range == ((-mean / deviation, (255 - mean) / deviation),) * 2
    quality = facts.quality["session_2_ventral2_20201117"]
    assert len(quality) == 4
    assert all(value is not None and -1 <= value <= 1 for value in quality)
    assert facts.quality_metric == "test CorrelationLoss3d"
    assert facts.note == ""


@pytest.mark.parametrize("case", ["colour_squash", "legacy_2025", "low_res", "point_gaussian_corners"])
def test_statistics_that_are_nan_missing_or_nought_and_one_are_unknown(zoo: Path, case: str) -> None:
    facts = load_core_readout(golden(zoo, case)[0]).facts
    assert (facts.stimulus_range, facts.grey_levels) == (None, None)
    assert "state model.stimulus_range" in facts.note


def test_rates_and_sizes_may_be_texts_and_several_numbers_are_not_guessed_among(zoo: Path) -> None:
    path = zoo / "point_gaussian_corners.ckpt"
    facts = load_core_readout(path).facts
    assert (facts.frame_rate, facts.pixel_size) == (85.0, None)
    assert 'retina_pixel_size_um is "7.5 for full resolution, 30 for default subsampled dataset"' in facts.note
    stated = load_core_readout(path, presentation=Presentation(name="mine", pixel_size=30.0, frame_rate=85.0)).facts
    assert (stated.name, stated.pixel_size) == ("mine", 30.0)
    assert "pixel_size" not in stated.note


def test_stimulus_channels_are_those_before_colours_are_squashed(zoo: Path) -> None:
    assert len(load_core_readout(zoo / "colour_squash.ckpt").facts.channels) == 2


def test_pooling_over_time_is_a_stride_of_the_response(zoo: Path) -> None:
    facts = load_core_readout(zoo / "downsample_time.ckpt").facts
    assert facts.response_stride == 2
    assert [facts.response_frames(n) for n in (facts.lag, facts.lag + 1, facts.lag + 2, facts.lag + 3)] == [0, 1, 1, 2]


def test_nothing_of_a_model_takes_a_gradient_but_its_stimulus(zoo: Path) -> None:
    model = load_core_readout(zoo / "gru_recurrent.ckpt")
    assert not list(model.parameters())
    assert not model.training


# --- files that are refused


def _too_long(*_: object) -> None:
    raise AssertionError("a file takes more than 10 s of processor time")


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every hostile file would leave a file in the working directory; none may, nor take much memory or 10 s."""
    monkeypatch.chdir(tmp_path)
    forget_peak()
    before = peak_mb()
    handler = signal.signal(signal.SIGVTALRM, _too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, 10)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, handler)
    assert os.listdir(tmp_path) == []
    assert peak_mb() - before < 500


def refusal(path: Path) -> str:
    """The sentence that a file is refused with."""
    with pytest.raises(ModelError) as refused:
        load_core_readout(path)
    return str(refused.value)


def refuse_all(paths: list[Path]) -> None:
    """Read files that are refused, one after the other."""
    for path in paths:
        refusal(path)


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_broken_files_are_refused_in_one_line(
    zoo: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["optimize", "model=core_readout", f"model.path='{zoo / 'hostile' / name}'", "neuron=0"]) == 2
    line = capfd.readouterr().err.removesuffix("\n")
    assert line.isprintable()
    assert len(line) < 1000
    assert os.environ["HOME"] not in line


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_files_with_harmless_oddities_load_and_give_the_numbers_of_the_unharmed_one(zoo: Path, name: str) -> None:
    unharmed, odd = (load_core_readout(zoo / "hostile" / file) for file in ("unharmed.ckpt", name))
    assert dict(odd.facts.sessions) == {"a": 3, "b": 2}
    probe = torch.randn(1, 1, odd.facts.lag + 2, odd.facts.height, odd.facts.width)
    torch.testing.assert_close(odd(probe, data_key="b"), unharmed(probe, data_key="b"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing_key", "lacks core.features.layer1.norm.running_var"),
        ("missing_session", "lacks readout.b.mask_mean"),
        ("unexpected_key", "holds core.features.layer2.conv.weight_spatial"),
        ("wrong_shape", "core.features.layer0.conv.weight_spatial has shape"),
        ("not_finite", "readout.a.bias holds NaN or infinity"),
        ("text_for_tensor", "readout.a.bias"),
        ("unknown_core", "TransformerCore.*model=torch_module"),
        ("unknown_readout", "AttentionReadout.*model=torch_module"),
        ("unknown_convolution", "core.convolution_type is 'depthwise'"),
        ("unknown_setting", "core.squeeze_excitation is not known"),
        ("reference_to_itself", "core.temporal_kernel_sizes"),
        ("reference_to_nothing", "core.temporal_kernel_sizes"),
        ("code_in_callbacks", "posix.system"),
        ("web_page", "is not a readable checkpoint"),
        ("flipped_bit", "checksum"),
        ("kernel_larger_than_field", "2 x 2 pixels is smaller than the model's kernels"),
    ],
)
def test_a_refusal_names_what_is_wrong(zoo: Path, name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load_core_readout(zoo / "hostile" / f"{name}.ckpt")


def test_single_cell_models_are_refused_with_a_sentence(zoo: Path) -> None:
    assert "does not say which pixels it sees" in refusal(zoo / "single_cell_spatial_contrast.ckpt")
    assert "holds no hyper_parameters" in refusal(zoo / "single_cell_lnp.ckpt")


def rewritten(path: Path, data: bytes) -> bytes:
    """The checkpoint with another pickle, its checksum right."""
    made = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for record in old.infolist():
            new.writestr(record.filename, data if record.filename.endswith("/data.pkl") else old.read(record))
    return made.getvalue()


def mutations(path: Path, count: int) -> Iterator[bytes]:
    """Copies with bytes changed, cut off, or opcodes swapped, drawn from a fixed seed."""
    draw = random.Random(0)  # noqa: S311  # no secret
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        data = archive.read(name)
    places = [position for _, _, position in pickletools.genops(data) if position is not None]
    for number in range(count):
        changed = bytearray(data)
        if number % 4 == 0:
            yield content[: draw.randrange(1, len(content))]
        elif number % 4 == 1:
            whole = bytearray(content)
            for _ in range(draw.randint(1, 8)):
                whole[draw.randrange(len(whole))] = draw.randrange(256)
            yield bytes(whole)
        elif number % 4 == 2:
            for _ in range(draw.randint(1, 4)):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            yield rewritten(path, bytes(changed))
        else:
            one, other = draw.sample(places, 2)
            changed[one], changed[other] = changed[other], changed[one]
            yield rewritten(path, bytes(changed))


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("name", ["hostile/unharmed.ckpt", "legacy.ckpt", "epoch=00_val_evaluation_loss=0.770.ckpt"])
def test_mutated_files_load_or_are_refused_in_one_line(
    zoo: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    path = tmp_path_factory.mktemp("mutated") / "mutated.ckpt"
    for content in mutations(zoo / name, 70):
        path.write_bytes(content)
        try:
            outcome = str(load_core_readout(path).facts.name)
        except OpenRetinaError as error:
            outcome = str(error)
        assert outcome.isprintable()


def test_a_pickle_that_copies_far_more_than_it_holds_is_refused(zoo: Path, tmp_path: Path) -> None:
    """A text that is memoised once and encoded many times would take gigabytes."""
    encode = b"c_codecs\nencode\n"
    text = pickle.dumps("x" * 200_000, protocol=2)[2:-3]
    data = b"\x80\x02](" + text + b"q\x01" + (encode + b"h\x01" + b"X\x06\x00\x00\x00latin1" + b"\x86R") * 5_000 + b"e."
    path = tmp_path / "copies.ckpt"
    path.write_bytes(rewritten(zoo / "hostile" / "unharmed.ckpt", data))
    forget_peak()
    before = peak_mb()
    refusal(path)
    assert peak_mb() - before < 200


def test_refusing_a_hostile_file_takes_little_memory(zoo: Path) -> None:
    """All of them one after the other take 23 MB, a good file takes 12."""
    assert growth_mb(refuse_all, [zoo / "hostile" / name for name in HOSTILE]) < 100
