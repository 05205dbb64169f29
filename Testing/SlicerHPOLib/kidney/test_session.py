"""Corrections without a network: what was found is handed over, and points go back and forth on it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from SlicerHPOLib.image import Image
from SlicerHPOLib.kidney.grid import Grid
from SlicerHPOLib.kidney.points import CorrectionError, Points
from SlicerHPOLib.kidney.segmentation import SegmentationError
from SlicerHPOLib.kidney.session import FoundKidney, KidneySession

SEMI_AXES_MM = np.array([20.0, 16.0, 36.0])
GRID = Grid(np.array([[4.0, 0, 0, -78], [0, 4, 0, -78], [0, 0, 4, -78], [0, 0, 0, 1]]), (40, 40, 40))
VOLUME = Image(
    np.zeros((48, 48, 48), np.uint8), [[3.2, 0, 0, -75.2], [0, 3.2, 0, -75.2], [0, 0, 3.2, -75.2], [0, 0, 0, 1]]
)


def ellipsoid(offset_mm=(0, 0, 0)):
    """About the distance in mm to an ellipsoid around the origin, on the grid."""
    at = GRID.ras_of(np.moveaxis(np.indices(GRID.shape), 0, -1)) - offset_mm
    scaled = np.linalg.norm(at / SEMI_AXES_MM, axis=-1)
    gradient = np.linalg.norm(at / SEMI_AXES_MM**2, axis=-1) / np.maximum(scaled, 1e-9)
    return np.where(scaled > 0.2, (1 - scaled) / np.maximum(gradient, 1 / 40), 12.0).astype(np.float32)


def found(**changes):
    x = GRID.ras_of(np.moveaxis(np.indices(GRID.shape), 0, -1))[..., 0]
    given = dict(
        image=VOLUME,
        grid=GRID,
        method="deformation",
        phi=ellipsoid(),
        confidence=0.93,
        least_jacobian=0.4,
        note=None,
        modes=2 * np.tanh(x / 20)[None].astype(np.float32),
    )
    return FoundKidney(**given | changes)


def voxel(ras_mm):
    return tuple(np.rint(VOLUME.ijk_of(np.array(ras_mm))).astype(int)[::-1])


def test_no_network_is_imported():
    code = (
        "import sys\nimport SlicerHPOLib.kidney.session, SlicerHPOLib.kidney.measures, SlicerHPOLib.kidney.results\n"
        "assert not {'torch', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_points_are_honoured_in_their_voxels_and_the_shape_keeps_its_confidence():
    session = KidneySession(found())
    assert session.result.mask[voxel((27, 0, 0))] == 0
    result = session.add_inside((27, 0, 0))
    assert result.mask[voxel((27, 0, 0))] == 1
    assert result.implausibility > 0 and result.confidence == 0.93 and result.least_jacobian <= 0.4
    assert session.add_outside((0, 12, 0)).mask[voxel((0, 12, 0))] == 0


def test_a_set_of_points_changes_in_one_step_and_back():
    session = KidneySession(found())
    first = session.result
    several = Points().add_inside((27, 0, 0)).add_outside((0, 12, 0)).add_inside((0, 0, 40))
    changed = session.change(several)
    assert session.points == several and session.can_undo and not session.can_redo
    np.testing.assert_array_equal(session.undo().phi, first.phi)
    assert not session.can_undo and session.can_redo and len(session.points) == 0
    np.testing.assert_array_equal(session.redo().phi, changed.phi)


def test_undo_does_not_go_behind_the_points_at_the_beginning():
    begun = Points().add_inside((27, 0, 0))
    session = KidneySession(found(), begun)
    assert not session.can_undo and session.undo() is session.result and session.points == begun


def test_points_that_cannot_be_honoured_change_nothing():
    session = KidneySession(found())
    before = session.add_inside((27, 0, 0))
    with pytest.raises(CorrectionError, match="Outside the volume"):
        session.add_inside((0, 0, 200))
    assert session.result is before and len(session.points) == 1 and not session.can_redo


def test_a_kidney_beside_the_volume_is_none():
    small = Image(np.zeros((8, 8, 8)), np.diag([2.0, 2, 2, 1]))
    with pytest.raises(SegmentationError, match="found no kidney"):
        KidneySession(found(image=small, phi=ellipsoid((-45, 0, 0))))


@pytest.mark.parametrize("modes", [True, False])
def test_what_was_found_survives_as_plain_arrays_and_json(modes, tmp_path):
    before = found(note="Look again.", population="child") if modes else found(modes=None, method="unet")
    np.savez(tmp_path / "found.npz", **before.arrays)
    description = json.loads(json.dumps(before.description))
    with np.load(tmp_path / "found.npz", allow_pickle=False) as arrays:
        after = FoundKidney.restored(VOLUME, description, dict(arrays))
    points = Points().add_inside((27, 0, 0))
    a, b = KidneySession(before, points).result, KidneySession(after, points).result
    np.testing.assert_array_equal(a.phi, b.phi)
    assert (a.method, a.confidence, a.warnings, a.implausibility) == (
        b.method,
        b.confidence,
        b.warnings,
        b.implausibility,
    )
    assert (after.modes is None) is not modes and after.note == before.note
    assert a.population == after.population == before.population


def test_what_was_stored_before_there_were_populations_has_none():
    before = found(population="child")
    description = {name: value for name, value in before.description.items() if name != "population"}
    assert FoundKidney.restored(VOLUME, description, before.arrays).population is None


@pytest.mark.parametrize("lost", ["phi", "confidence"])
def test_an_incomplete_description_is_refused(lost):
    before = found()
    arrays = {name: array for name, array in before.arrays.items() if name != lost}
    description = {name: value for name, value in before.description.items() if name != lost}
    with pytest.raises(SegmentationError, match=f"{lost}.*missing"):
        FoundKidney.restored(VOLUME, description, arrays)


def test_a_kidney_that_the_probe_shows_in_part_is_warned_of():
    at = VOLUME.ras_of(np.moveaxis(np.indices(VOLUME.shape)[::-1], 0, -1))
    beam = np.random.default_rng(0).uniform(50, 100, VOLUME.shape) * (np.abs(at[..., 0]) < 60)
    whole = Image(beam, VOLUME.ijk_to_ras)
    half = Image(beam * (at[..., 2] > 0), VOLUME.ijk_to_ras)
    assert found(image=whole).corrected(Points()).warnings == ()
    (warning,) = found(image=half).corrected(Points()).warnings
    share = float(warning.split(" ")[0])
    assert 45 <= share <= 55 and "outside of what the probe shows" in warning
