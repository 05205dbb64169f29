"""Volumes in RAS millimetres: read, write, reorient, resample, find; nibabel is the oracle for NIfTI."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from SlicerHPOLib.image import (
    Image,
    ImageError,
    find_images,
    from_sitk,
    read_image,
    reorient_to_ras,
    resample,
    to_sitk,
    write_image,
)
from SlicerHPOLib.job import Cancelled, Job

SHARED = Path(os.environ.get("SLICERHPO_SHARED", Path(__file__).parents[3] / "shared"))
REAL = sorted((SHARED / "data" / "mri").glob("*.nii.gz"))
WRITTEN = (".nii", ".nii.gz", ".nrrd", ".mha")
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def ramp(shape=(4, 5, 6), dtype=np.int16) -> np.ndarray:
    """Every voxel another value."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


@st.composite
def images(draw) -> Image:
    """Axes exchanged, reversed (also left-handed), turned up to 25 degrees, anisotropic, off centre."""
    axes = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    turn = Rotation.from_rotvec(draw(st.tuples(*[st.floats(-0.25, 0.25)] * 3))).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ (np.eye(3)[:, axes] * signs) * draw(st.tuples(*[st.floats(0.2, 9.0)] * 3))
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Image(ramp(draw(st.tuples(*[st.integers(2, 6)] * 3))), matrix, "volume")


# --- the image itself ---


def test_an_image_of_two_by_three_by_four_mm_says_where_its_voxels_are():
    matrix = np.array([[2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
    image = Image(ramp((3, 3, 5)), matrix)
    assert image.shape == (3, 3, 5)
    assert image.spacing_mm.tolist() == [2, 3, 4]
    assert image.directions.tolist() == np.eye(3).tolist()
    assert image.ras_of((1, 1, 1)).tolist() == [12, 23, 34]
    assert image.center_mm.tolist() == [14, 23, 34]
    assert image.ijk_of([[12, 23, 34], [10, 20, 30]]).tolist() == [[1, 1, 1], [0, 0, 0]]


@given(images(), st.tuples(*[st.floats(-20, 20)] * 3))
def test_ijk_of_is_the_inverse_of_ras_of(image, ijk):
    np.testing.assert_allclose(image.ijk_of(image.ras_of(ijk)), ijk, atol=1e-8)


@pytest.mark.parametrize(
    ("voxels", "matrix", "named"),
    [
        (ramp((4, 5)), np.eye(4), r"\(4, 5\)"),
        (ramp((2, 2, 2)).astype(complex), np.eye(4), "complex128"),
        (ramp(), np.eye(3), r"\(4, 4\)"),
        (ramp(), np.diag([1, np.nan, 1, 1]), "nan"),
        (ramp(), np.diag([1, 0, 1, 1]), "singular"),
        (ramp(), np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
        (ramp(), np.diag([1, 1, 1, 2]), "affine"),
    ],
)
def test_what_has_no_place_in_space_is_no_image(voxels, matrix, named):
    with pytest.raises(ImageError, match=named):
        Image(voxels, matrix)


# --- write, read ---


@settings(max_examples=40, deadline=None)
@given(images(), st.sampled_from(WRITTEN))
def test_what_is_written_is_read_back(tmp_path_factory, image, extension):
    path = tmp_path_factory.mktemp("roundtrip") / f"volume{extension}"
    assert write_image(image, path) == path
    read = read_image(path)
    np.testing.assert_array_equal(read.voxels, image.voxels)
    np.testing.assert_allclose(read.ijk_to_ras, image.ijk_to_ras, atol=1e-4)
    assert read.name == "volume"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("extension", WRITTEN)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_voxel_type_keeps_its_type_and_its_extremes(tmp_path, dtype, extension):
    voxels = ramp((2, 3, 4), dtype)
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    voxels[0, 0, :2] = limits.min, limits.max
    read = read_image(write_image(Image(voxels, np.eye(4)), tmp_path / f"v{extension}"))
    assert read.voxels.dtype == dtype
    np.testing.assert_array_equal(read.voxels, voxels)


def test_voxels_read_may_be_changed_and_outlive_the_reader(tmp_path):
    voxels = read_image(write_image(Image(ramp((40, 50, 60), np.int32), np.eye(4)), tmp_path / "v.nrrd")).voxels
    for _ in range(20):  # would reuse the memory, were it free
        np.full(voxels.shape, -1, np.int32)
    voxels += 1
    np.testing.assert_array_equal(voxels, ramp((40, 50, 60), np.int32) + 1)


@settings(max_examples=25, deadline=None)
@given(images())
def test_a_written_nifti_means_the_same_to_nibabel(tmp_path_factory, image):
    theirs = nib.load(write_image(image, tmp_path_factory.mktemp("nibabel") / "v.nii"))
    np.testing.assert_allclose(theirs.affine, image.ijk_to_ras, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(theirs.dataobj).T, image.voxels)


def test_masks_and_half_precision_are_written_as_the_next_type_that_files_have(tmp_path):
    for dtype, stored in ((bool, np.uint8), (np.float16, np.float32)):
        voxels = (ramp((2, 3, 4)) % 2).astype(dtype)
        read = read_image(write_image(Image(voxels, np.eye(4)), tmp_path / "v.nii.gz"))
        assert read.voxels.dtype == stored
        np.testing.assert_array_equal(read.voxels, voxels)


def test_an_unknown_extension_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ImageError, match=r"v\.png.*\.nii\.gz, \.nii, \.nrrd, \.mha"):
        write_image(Image(ramp(), np.eye(4)), tmp_path / "v.png")


def test_writing_into_a_folder_that_is_missing_names_it(tmp_path):
    with pytest.raises(ImageError, match="missing does not exist"):
        write_image(Image(ramp(), np.eye(4)), tmp_path / "missing" / "v.nii")


def test_a_sheared_image_is_not_written_as_if_it_were_straight(tmp_path):
    matrix = np.eye(4)
    matrix[0, 2] = 0.3
    with pytest.raises(ImageError, match="sheared"):
        write_image(Image(ramp(), matrix), tmp_path / "v.nii")
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_image(Image(ramp(), np.eye(4)), tmp_path / "v.nii")
    before = path.read_bytes()

    def fail(image, name, **_):
        Path(name).write_bytes(b"half")
        raise RuntimeError("ITK ERROR: disk full")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    with pytest.raises(ImageError, match=r"v\.nii: cannot be written: disk full"):
        write_image(Image(ramp() + 1, np.eye(4)), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["v.nii"]


def test_paths_may_be_strings_have_any_letters_and_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_image(Image(ramp(), np.eye(4)), "~/Bauch größer 腹部.nii.gz")
    image = read_image("~/Bauch größer 腹部.nii.gz")
    assert image.name == "Bauch größer 腹部"


def test_a_name_that_is_not_utf8_is_refused_before_itk_ends_the_process(tmp_path):
    good = write_image(Image(ramp(), np.eye(4)), tmp_path / "volume.nii")
    named = os.fsencode(tmp_path) + b"/\xff.nii"
    os.rename(good, named)
    with pytest.raises(ImageError, match=r"not valid UTF-8; rename it"):
        read_image(os.fsdecode(named))


def test_extensions_are_known_in_capitals_too(tmp_path):
    for extension in WRITTEN:
        path = write_image(Image(ramp(), np.eye(4)), tmp_path / f"v{extension}")
        capitals = path.rename(tmp_path / f"W{extension.upper()}")
        np.testing.assert_array_equal(read_image(capitals).voxels, ramp())


def test_progress_reaches_the_end_and_a_cancelled_job_reads_nothing(tmp_path):
    path = write_image(Image(ramp(), np.eye(4)), tmp_path / "v.nii")
    seen = []
    read_image(path, job=Job(lambda fraction, text: seen.append(fraction)))
    assert seen[-1] == 1.0
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        read_image(path, job=job)


@pytest.mark.parametrize("path", REAL or [pytest.param(None, marks=pytest.mark.skip("no volumes in shared/data/mri"))])
def test_a_real_volume_is_what_nibabel_says(path):
    image, theirs = read_image(path), nib.load(path)
    np.testing.assert_allclose(image.ijk_to_ras, theirs.affine, atol=1e-4)
    voxels = np.asanyarray(theirs.dataobj)
    assert image.voxels.dtype == voxels.dtype
    np.testing.assert_array_equal(image.voxels, voxels.T)
    canonical, ours = nib.as_closest_canonical(theirs), reorient_to_ras(image)
    np.testing.assert_allclose(ours.ijk_to_ras, canonical.affine, atol=1e-4)
    np.testing.assert_array_equal(ours.voxels, np.asanyarray(canonical.dataobj).T)


# --- refused whatever the format ---


def refusal(path, **options) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    assert str(path) in str(caught.value), "the message names what was given"
    return str(caught.value)


@pytest.mark.parametrize("extension", WRITTEN)
def test_a_path_that_does_not_exist_is_refused(tmp_path, extension):
    assert "no such file" in refusal(tmp_path / f"v{extension}")


def test_what_is_not_an_image_is_refused_with_what_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no voxels here")
    message = refusal(path)
    assert ".nii.gz" in message
    assert "DICOM" in message


@pytest.mark.parametrize("content", [b"", b"no voxels here " * 100])
@pytest.mark.parametrize("extension", [*WRITTEN, ".nhdr", ".mhd"])
def test_a_file_with_an_images_name_and_other_content_is_refused(tmp_path, extension, content):
    path = tmp_path / f"v{extension}"
    path.write_bytes(content)
    assert ("not a" if content else "empty") in refusal(path)


@pytest.mark.parametrize("extension", WRITTEN)
def test_every_truncation_and_every_damage_of_compressed_voxels_is_refused(tmp_path, extension, capfd):
    noise = np.random.default_rng(0).integers(0, 1000, (8, 9, 10)).astype(np.int16)
    whole = write_image(Image(noise, np.eye(4)), tmp_path / f"whole{extension}").read_bytes()
    path = tmp_path / f"cut{extension}"
    for length in (len(whole) // 3, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        message = refusal(path)
        assert "truncated" in message or "not a" in message
    if extension != ".nii":
        path.write_bytes(whole[:-200] + bytes([whole[-200] ^ 255]) + whole[-199:])
        assert "damaged" in refusal(path)
    assert capfd.readouterr().err == "", "ITK's own warnings are kept from the user"


@pytest.mark.parametrize("shape", [(1, 5, 6), (4, 1, 6), (4, 5, 1)])
@pytest.mark.parametrize("extension", WRITTEN)
def test_fewer_than_two_voxels_along_an_axis_are_refused(tmp_path, shape, extension):
    path = write_image(Image(ramp(shape), np.eye(4)), tmp_path / f"v{extension}")
    assert f"{shape[2]} x {shape[1]} x {shape[0]} voxels" in refusal(path)


def test_nan_and_infinite_voxels_are_refused_with_their_numbers(tmp_path):
    voxels = ramp((4, 5, 6), np.float32)
    voxels[1, :3, 0], voxels[2, 2, 2], voxels[3, 0, 0] = np.nan, np.inf, -np.inf
    message = refusal(write_image(Image(voxels, np.eye(4)), tmp_path / "v.nrrd"))
    assert "120 voxels" in message
    assert "3 are NaN" in message
    assert "2 infinite" in message


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_constant_volume_is_refused_with_its_value(tmp_path, dtype):
    path = write_image(Image(np.full((3, 4, 5), 7, dtype), np.eye(4)), tmp_path / "v.nii")
    assert "every voxel is 7" in refusal(path)


def test_a_volume_in_which_only_the_last_voxel_differs_is_accepted(tmp_path):
    voxels = np.zeros((3, 4, 5), np.uint8)
    voxels[-1, -1, -1] = 1
    assert read_image(write_image(Image(voxels, np.eye(4)), tmp_path / "v.nii")).voxels.sum() == 1


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_one_frame_of_a_4d_file_is_read_only_if_it_is_chosen(tmp_path, extension):
    frames = ramp((3, 4, 5, 6))
    path = tmp_path / f"dynamic{extension}"
    sitk.WriteImage(sitk.GetImageFromArray(frames, isVector=False), str(path))
    message = refusal(path)
    assert "6 x 5 x 4 x 3" in message
    assert "frame', 0 to 2" in message
    for frame in range(3):
        np.testing.assert_array_equal(read_image(path, frame=frame).voxels, frames[frame])
    assert "no frame 3" in refusal(path, frame=3)
    assert "no frame -1" in refusal(path, frame=-1)


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_a_4d_file_with_one_frame_is_a_volume(tmp_path, extension):
    path = tmp_path / f"v{extension}"
    sitk.WriteImage(sitk.GetImageFromArray(ramp((1, 4, 5, 6)), isVector=False), str(path))
    np.testing.assert_array_equal(read_image(path).voxels, ramp((4, 5, 6)))
    assert "no frame 1" in refusal(path, frame=1)


@pytest.mark.parametrize("extension", WRITTEN)
def test_colour_voxels_are_refused(tmp_path, extension):
    path = tmp_path / f"v{extension}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(path))
    message = refusal(path)
    assert "vector of 8-bit unsigned integer" in message
    assert "3 numbers" in message


def test_complex_voxels_are_refused(tmp_path):
    path = tmp_path / "v.nii"
    sitk.WriteImage(sitk.GetImageFromArray(ramp().astype(np.complex64)), str(path))
    assert "complex of 32-bit float" in refusal(path)


def test_the_option_series_is_refused_for_a_file(tmp_path):
    path = write_image(Image(ramp(), np.eye(4)), tmp_path / "v.nii")
    assert "'1.2.3'" in refusal(path, series="1.2.3")


# --- reorient ---


@settings(max_examples=60, deadline=None)
@given(images())
def test_reorienting_keeps_every_voxel_at_its_point_and_points_axes_to_ras(image):
    ras = reorient_to_ras(image)
    assert (np.diag(ras.directions) > 0.7).all()
    k, j, i = np.indices(ras.shape).reshape(3, -1)
    at = np.round(image.ijk_of(ras.ras_of(np.stack([i, j, k], -1)))).astype(int)
    np.testing.assert_allclose(image.ras_of(at), ras.ras_of(np.stack([i, j, k], -1)), atol=1e-9)
    np.testing.assert_array_equal(ras.voxels[k, j, i], image.voxels[at[:, 2], at[:, 1], at[:, 0]])
    assert np.shares_memory(ras.voxels, image.voxels)


@settings(max_examples=60, deadline=None)
@given(images())
def test_reorienting_agrees_with_nibabel(image):
    theirs = nib.as_closest_canonical(nib.Nifti1Image(image.voxels.T, image.ijk_to_ras))
    ours = reorient_to_ras(image)
    np.testing.assert_allclose(ours.ijk_to_ras, theirs.affine, atol=1e-9)
    np.testing.assert_array_equal(ours.voxels, np.asarray(theirs.dataobj).T)


# --- SimpleITK, resample ---


@settings(max_examples=40, deadline=None)
@given(images())
def test_simpleitk_puts_every_voxel_where_we_do_but_in_lps(image):
    theirs = to_sitk(image)
    last = [n - 1 for n in image.shape[::-1]]
    expected = image.ras_of(last) * (-1, -1, 1)
    np.testing.assert_allclose(theirs.TransformIndexToPhysicalPoint(last), expected, atol=1e-6)
    assert theirs[last] == image.voxels[-1, -1, -1]
    back = from_sitk(theirs, "again")
    np.testing.assert_allclose(back.ijk_to_ras, image.ijk_to_ras, atol=1e-9)
    np.testing.assert_array_equal(back.voxels, image.voxels)


@pytest.mark.parametrize("image", [sitk.Image(4, 5, sitk.sitkInt16), sitk.Image([4, 4, 4], sitk.sitkVectorUInt8)])
def test_a_simpleitk_image_that_is_no_volume_is_refused(image):
    with pytest.raises(ImageError, match=f"{image.GetDimension()} dimensions of"):
        from_sitk(image)


def linear_field(image: Image) -> Image:
    """Voxels that are 3 R - 2 A + S + 5, which linear interpolation reproduces."""
    k, j, i = np.indices(image.shape)
    values = image.ras_of(np.stack([i, j, k], -1)) @ (3.0, -2.0, 1.0) + 5
    return Image(values, image.ijk_to_ras, image.name)


@settings(max_examples=30, deadline=None)
@given(images(), st.tuples(*[st.floats(0.5, 4.0)] * 3))
def test_resampling_keeps_the_middle_covers_the_extent_and_interpolates_in_space(image, spacing):
    field = linear_field(image)
    new = resample(field, spacing)
    np.testing.assert_allclose(new.spacing_mm, spacing)
    np.testing.assert_allclose(new.center_mm, field.center_mm, atol=1e-6)
    extent, new_extent = np.array(field.shape[::-1]) * field.spacing_mm, np.array(new.shape[::-1]) * spacing
    assert (new_extent > extent - 1e-3).all()
    assert (new_extent < extent + spacing).all()
    expected = linear_field(new).voxels
    k, j, i = np.indices(new.shape)
    at = field.ijk_of(new.ras_of(np.stack([i, j, k], -1)))
    inside = ((at > 0) & (at < np.array(field.shape[::-1]) - 1)).all(-1)  # beyond the outer centres there is no slope
    np.testing.assert_allclose(new.voxels[inside], expected[inside], atol=1e-3)


def test_resampling_to_its_own_grid_changes_nothing():
    image = Image(ramp((4, 5, 6)), np.diag([1.0, 2.0, 3.0, 1.0]), "same")
    for new in (resample(image, (1, 2, 3)), resample(image, like=image, interpolation="nearest")):
        np.testing.assert_array_equal(new.voxels, image.voxels)
        np.testing.assert_allclose(new.ijk_to_ras, image.ijk_to_ras)
        assert new.name == "same"
        assert new.voxels.dtype == np.int16


def test_resampling_like_another_image_gives_its_grid_and_the_lowest_value_outside():
    image = Image(ramp((4, 4, 4)) - 9, np.eye(4))
    matrix = np.eye(4)
    matrix[0, 3] = 2.0
    like = Image(ramp((4, 4, 4)), matrix)
    new = resample(image, like=like)
    np.testing.assert_array_equal(new.voxels[:, :, :2], image.voxels[:, :, 2:])
    assert (new.voxels[:, :, 2:] == -9).all()


def test_resampled_labels_are_never_mixed():
    labels = Image(np.where(ramp((6, 6, 6)) % 2, 4, 0).astype(np.uint8), np.eye(4))
    assert set(np.unique(resample(labels, 0.7, interpolation="nearest").voxels)) == {0, 4}
    assert set(np.unique(resample(labels, 0.7).voxels)) - {0, 4}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "either"),
        ({"spacing_mm": 1, "like": Image(ramp(), np.eye(4))}, "either"),
        ({"spacing_mm": 0}, "0"),
        ({"spacing_mm": (1, np.nan, 1)}, "nan"),
        ({"spacing_mm": (1, 1)}, r"\(1, 1\)"),
        ({"spacing_mm": 1, "interpolation": "sinc"}, "'sinc'.*linear, nearest, cubic"),
    ],
)
def test_a_wrong_grid_is_refused_with_what_was_given(options, named):
    with pytest.raises(ImageError, match=named):
        resample(Image(ramp(), np.eye(4)), **options)


def test_resampling_stops_when_it_is_cancelled():
    job = Job(lambda fraction, text: job.cancel() if fraction > 0 else None)
    with pytest.raises(Cancelled):
        resample(Image(np.zeros((64, 128, 128), np.int16), np.eye(4)), 0.8, job=job)


# --- find ---


def test_volume_files_below_a_folder_are_found_in_order_and_others_are_not(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    names = ["b/deep/one.NRRD", "a.nii.gz", "c.mha", "b/x.mhd"]
    for name in [*names, "notes.txt", ".hidden.nii", "x.raw"]:
        (tmp_path / name).write_bytes(b"?")
    found = find_images(tmp_path)
    assert [source.path for source in found] == [tmp_path / name for name in sorted(names)]
    assert [source.name for source in found] == ["a", "one", "x", "c"]
    assert find_images(tmp_path) == found


def test_a_link_that_leads_back_is_not_followed_for_ever_and_one_to_elsewhere_is(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "v.nii").write_bytes(b"?")
    os.symlink(tmp_path / "here", tmp_path / "here" / "loop")
    os.symlink(tmp_path / "there", tmp_path / "here" / "link")
    assert [source.path for source in find_images(tmp_path / "here")] == [tmp_path / "here" / "link" / "v.nii"]


def test_a_file_found_is_read_by_its_source(tmp_path):
    path = write_image(Image(ramp(), np.eye(4)), tmp_path / "v.nii.gz")
    (source,) = find_images(path)
    np.testing.assert_array_equal(source.read().voxels, ramp())


def test_finding_in_nothing_and_in_other_files_says_so(tmp_path):
    assert find_images(tmp_path) == []
    (tmp_path / "notes.txt").write_text("no voxels here")
    with pytest.raises(ImageError, match=r"notes\.txt: not a volume"):
        find_images(tmp_path / "notes.txt")
    with pytest.raises(ImageError, match="missing: there is no such"):
        find_images(tmp_path / "missing")


# --- cost ---


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is measured on Unix only")
def test_a_large_volume_is_read_without_a_copy_of_its_voxels(tmp_path):
    """126 MB of int16 voxels, and as many that ITK's NIfTI reader holds meanwhile, but nothing else of that size."""
    voxels = np.zeros((240, 512, 512), np.int16)
    voxels[-1, -1, -1] = 1
    path = write_image(Image(voxels, np.eye(4)), tmp_path / "large.nii")
    code = (
        "import resource, sys\nfrom SlicerHPOLib.image import read_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); read_image(sys.argv[1]); print(peak() - before)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    grown = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 2.3 * voxels.nbytes
