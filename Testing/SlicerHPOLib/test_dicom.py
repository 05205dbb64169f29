"""DICOM series written with pydicom: found, chosen, put in order in space, or refused by name."""

import shutil

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation
from SlicerHPOLib.dicom import arrange
from SlicerHPOLib.image import ImageError, find_images, read_image

CT, MR, PET = (f"1.2.840.10008.5.1.4.1.1.{ending}" for ending in ("2", "4", "128"))
ENHANCED_MR, SECONDARY = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.7"
AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)
SECRETS = {"PatientName": "Doe^Jane", "PatientID": "ID4711", "StudyDate": "19991231"}
VOXELS = np.arange(5 * 16 * 16, dtype=np.uint16).reshape(5, 16, 16)


def dataset(pixels: np.ndarray, storage: str = MR, **attributes) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber, ds.SeriesDescription = "1.2", "1.2.3", 1, "t2_tse"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for name, value in {**SECRETS, **attributes}.items():
        setattr(ds, name, value)
    return ds


def write_series(folder, voxels=VOXELS, orientation=AXIAL, origin=(10, 20, 30), step=None, names="{}", **attributes):
    """One file a slice of `voxels` (k, j, i), 3 mm apart along the normal, rows 2 mm and columns 1.5 mm apart."""
    folder.mkdir(parents=True, exist_ok=True)
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    step = 3 * np.cross(row, column) if step is None else np.asarray(step, float)
    for k, pixels in enumerate(voxels):
        ds = dataset(pixels, **attributes)
        ds.ImageOrientationPatient, ds.PixelSpacing = [f"{x:.9f}" for x in orientation], [2, 1.5]
        ds.ImagePositionPatient, ds.InstanceNumber = [f"{x:.9f}" for x in origin + k * step], k + 1
        ds.save_as(folder / names.format(k))
    return folder


def change(path, **attributes):
    ds = pydicom.dcmread(path)
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.save_as(path)


def refusal(path, **options) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert str(path) in message, "the message names what was given"
    assert not any(secret in message for secret in SECRETS.values()), "the message holds no patient's data"
    return message


# --- one series ---


def test_a_series_is_read_into_ras(tmp_path):
    image = read_image(write_series(tmp_path / "scan"))
    np.testing.assert_array_equal(image.voxels, VOXELS)
    assert image.voxels.dtype == np.uint16
    expected = [[-1.5, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(image.ijk_to_ras, expected, atol=1e-9)
    assert image.name == "scan"


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([AXIAL, CORONAL, SAGITTAL]),
    st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    st.permutations(range(5)),
    st.sampled_from([-4.0, 4.0]),
)
def test_slices_of_any_orientation_in_any_order_of_files_lie_where_their_headers_say(
    tmp_path_factory, plane, turn, order, step
):
    folder = tmp_path_factory.mktemp("series")
    orientation = (np.reshape(plane, (2, 3)) @ Rotation.from_rotvec(turn).as_matrix()).ravel()
    normal = np.cross(*np.reshape(orientation, (2, 3)))
    write_series(folder, VOXELS[list(order)], orientation, step=step * normal)
    shuffled = [pydicom.dcmread(folder / str(k)) for k in range(5)]
    image = read_image(folder)
    for k, ds in enumerate(shuffled):
        lps = np.array(ds.ImagePositionPatient, float)
        i, j, at = np.round(image.ijk_of(lps * (-1, -1, 1)), 4)
        assert (i, j) == (0, 0)
        np.testing.assert_array_equal(image.voxels[int(at)], VOXELS[order[k]])
        last_of_row = lps + 15 * 1.5 * np.array(ds.ImageOrientationPatient[:3], float)
        np.testing.assert_allclose(image.ras_of((15, 0, at)), last_of_row * (-1, -1, 1), atol=1e-4)
    assert np.linalg.det(image.directions) > 0


def test_one_file_of_a_series_gives_its_whole_series(tmp_path):
    write_series(tmp_path / "scan", names="a{}")
    write_series(tmp_path / "scan", VOXELS[:3] + 1, names="b{}", SeriesInstanceUID="1.2.4")
    np.testing.assert_array_equal(read_image(tmp_path / "scan" / "b1").voxels, VOXELS[:3] + 1)


def test_nested_folders_names_without_extension_and_other_files_do_not_matter(tmp_path):
    write_series(tmp_path / "scan" / "deep" / "er", names="IM{}")
    shutil.move(tmp_path / "scan" / "deep" / "er" / "IM3", tmp_path / "scan" / "other.dcm")
    (tmp_path / "scan" / "notes.txt").write_text("not DICOM")
    (tmp_path / "scan" / "fake.dcm").write_bytes(b"not DICOM either")
    (tmp_path / "scan" / "empty").write_bytes(b"")
    report = dataset(VOXELS[0], "1.2.840.10008.5.1.4.1.1.88.11")
    del report.PixelData, report.Rows, report.Columns
    report.save_as(tmp_path / "scan" / "report.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "scan").voxels, VOXELS)


def test_a_slice_that_is_stored_twice_counts_once(tmp_path):
    write_series(tmp_path)
    shutil.copy(tmp_path / "2", tmp_path / "copy of 2")
    np.testing.assert_array_equal(read_image(tmp_path).voxels, VOXELS)


@pytest.mark.parametrize("storage", [CT, MR, PET])
def test_every_slice_has_its_own_rescale_slope(tmp_path, storage):
    write_series(tmp_path, storage=storage)
    slopes, intercepts = [1, 2, 0.37, 1.5, 4], [0, 1, 1.5, -1024, 0]
    for k in range(5):
        change(tmp_path / str(k), RescaleSlope=slopes[k], RescaleIntercept=intercepts[k])
    image = read_image(tmp_path)
    assert image.voxels.dtype == np.float32
    expected = VOXELS * np.reshape(slopes, (5, 1, 1)) + np.reshape(intercepts, (5, 1, 1))
    np.testing.assert_allclose(image.voxels, expected, rtol=1e-6, atol=1e-4)


def test_whole_rescaling_keeps_whole_numbers_below_zero_too(tmp_path):
    write_series(tmp_path, storage=CT)
    for k in range(1, 5):  # the first slice alone would be read as unsigned
        change(tmp_path / str(k), RescaleSlope=1, RescaleIntercept=-1024)
    image = read_image(tmp_path)
    assert image.voxels.dtype.kind == "i"
    np.testing.assert_array_equal(image.voxels, VOXELS.astype(int) - np.array([0, 1, 1, 1, 1]).reshape(5, 1, 1) * 1024)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8])
def test_stored_types_are_kept(tmp_path, dtype):
    image = read_image(write_series(tmp_path, (VOXELS % 200).astype(dtype)))
    assert image.voxels.dtype == dtype
    np.testing.assert_array_equal(image.voxels, VOXELS % 200)


# --- several series ---


def several(folder):
    write_series(folder / "a", names="a{}", SeriesDescription="localizer", SeriesNumber=1)
    write_series(folder / "b", VOXELS[:3] + 7, names="b{}", SeriesInstanceUID="1.2.9", SeriesNumber=2)
    write_series(
        folder / "b", VOXELS[:4], names="c{}", SeriesInstanceUID="1.2.8", SeriesNumber=3, SeriesDescription="3"
    )
    return folder


def test_several_series_are_listed_by_description_and_size(tmp_path):
    message = refusal(several(tmp_path))
    assert "3 DICOM series" in message
    assert "1. 'localizer', 16 x 16, 5 images" in message
    assert "2. 't2_tse', 16 x 16, 3 images" in message
    assert "3. '3', 16 x 16, 4 images" in message


@pytest.mark.parametrize("series", ["1.2.9", "2", "t2_tse", " T2_TSE "])
def test_a_series_is_chosen_by_uid_number_or_description(tmp_path, series):
    np.testing.assert_array_equal(read_image(several(tmp_path), series=series).voxels, VOXELS[:3] + 7)


def test_a_series_that_is_not_there_or_fits_twice_is_answered_with_the_list(tmp_path):
    message = refusal(several(tmp_path), series="flair")
    assert "'flair'" in message
    assert "2. 't2_tse'" in message
    write_series(tmp_path / "d", SeriesInstanceUID="1.2.7", SeriesNumber=4)
    assert "2 of its DICOM series are 't2_tse'" in refusal(tmp_path, series="t2_tse")


def test_a_scout_of_another_orientation_in_the_series_is_left_out(tmp_path):
    write_series(tmp_path)
    write_series(tmp_path, VOXELS[:1], CORONAL, names="scout{}")
    np.testing.assert_array_equal(read_image(tmp_path).voxels, VOXELS)


def test_stacks_of_different_orientation_in_a_series_are_chosen_like_series(tmp_path):
    write_series(tmp_path)
    write_series(tmp_path, VOXELS[:3], CORONAL, names="coronal{}")
    assert "2 DICOM series" in refusal(tmp_path)
    np.testing.assert_array_equal(read_image(tmp_path, series="1").voxels, VOXELS)
    coronal = read_image(tmp_path, series="2")
    np.testing.assert_array_equal(coronal.voxels, VOXELS[:3])
    np.testing.assert_allclose(coronal.directions[:, 2], [0, -1, 0], atol=1e-9)
    np.testing.assert_array_equal(read_image(tmp_path / "coronal1").voxels, VOXELS[:3])


def test_every_series_in_a_folder_is_found_and_read_by_its_source(tmp_path):
    several(tmp_path)
    write_series(tmp_path / "b", VOXELS[:2], SAGITTAL, names="e{}", SeriesInstanceUID="1.2.8", SeriesNumber=3)
    found = find_images(tmp_path)
    assert [source.path for source in found] == [tmp_path / "a", *[tmp_path / "b"] * 3]
    assert [source.name for source in found] == ["a", "b", "b", "b"]
    assert [source.read().shape[0] for source in found] == [5, 3, 4, 2]


def test_a_damaged_slice_is_found_so_that_reading_it_names_it(tmp_path):
    write_series(tmp_path)
    whole = (tmp_path / "4").read_bytes()
    (tmp_path / "4").write_bytes(whole[: len(whole) - 100])
    assert "1 damaged or truncated DICOM files: 4" in refusal(tmp_path)
    assert [source.path for source in find_images(tmp_path)] == [tmp_path, tmp_path / "4"]


def test_a_folder_without_dicom_says_so_and_names_volume_files(tmp_path):
    assert "no DICOM images" in refusal(tmp_path)
    (tmp_path / "v.nii.gz").write_bytes(b"?")
    assert "v.nii.gz" in refusal(tmp_path)


# --- no regular stack ---


def test_missing_slices_are_counted_and_placed(tmp_path):
    write_series(tmp_path, np.concatenate([VOXELS, VOXELS]))
    for k in (2, 5, 6):
        (tmp_path / str(k)).unlink()
    message = refusal(tmp_path)
    assert "3 slices are missing" in message
    assert "1 between 33.00 mm and 39.00 mm; 2 between 42.00 mm and 51.00 mm" in message
    assert "3.00 mm apart" in message


def test_repeated_positions_are_frames_of_which_one_is_chosen(tmp_path):
    for time in range(3):
        write_series(tmp_path, VOXELS + 1000 * time, names=f"{2 - time}-{{}}")
    for path in tmp_path.iterdir():
        time, k = 2 - int(path.name[0]), int(path.name[2])
        change(path, InstanceNumber=1 + 5 * time + k)
    message = refusal(tmp_path)
    assert "3 frames" in message
    assert "0 to 2" in message
    for time in range(3):
        np.testing.assert_array_equal(read_image(tmp_path, frame=time).voxels, VOXELS + 1000 * time)
    assert "no frame 3" in refusal(tmp_path, frame=3)


def test_positions_with_unequal_numbers_of_images_are_refused(tmp_path):
    write_series(tmp_path, names="a{}")
    write_series(tmp_path, VOXELS[:2], names="b{}")
    assert "1 at 3 positions, 2 at 2 positions" in refusal(tmp_path)


def test_unevenly_spaced_slices_are_refused_with_their_distances(tmp_path):
    write_series(tmp_path)
    change(tmp_path / "2", ImagePositionPatient=[10, 20, 36.4])
    assert "2.600 mm to 3.400 mm" in refusal(tmp_path)


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path):
    message = refusal(write_series(tmp_path, step=(0, 3 * np.tan(np.radians(15)), 3)))
    assert "tilted by 15.0 degrees" in message


def test_slices_that_are_displaced_sideways_are_refused(tmp_path):
    write_series(tmp_path)
    change(tmp_path / "2", ImagePositionPatient=[15, 20, 36])
    assert "displaced" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"ImagePositionPatient": None}, "no position"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "mosaic"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, 0]}, "two unit vectors"),
        ({"PixelSpacing": [0, 1.5]}, "must be positive, not (1.5, 0.0)"),
    ],
)
def test_images_without_a_place_in_space_are_refused(tmp_path, attributes, named):
    write_series(tmp_path)
    for path in list(tmp_path.iterdir()):
        change(path, **attributes)
    assert named in refusal(tmp_path)


def test_slices_of_different_size_are_refused_with_the_sizes(tmp_path):
    write_series(tmp_path)
    change(tmp_path / "2", Rows=8, PixelData=VOXELS[2, :8].tobytes())
    message = refusal(tmp_path)
    assert "differ in size" in message
    assert "16 x 8 or 16 x 16" in message


def test_a_single_image_is_no_volume(tmp_path):
    assert "at least 2 slices" in refusal(write_series(tmp_path, VOXELS[:1]))


def test_colour_images_are_refused(tmp_path):
    for k in range(2):
        ds = dataset(VOXELS[0].astype(np.uint8), SECONDARY, SamplesPerPixel=3, PhotometricInterpretation="RGB")
        ds.PlanarConfiguration, ds.PixelData = 0, bytes(16 * 16 * 3)
        ds.save_as(tmp_path / str(k))
    assert "colour" in refusal(tmp_path)


# --- enhanced multi-frame ---


def write_enhanced(path, positions, voxels=None, slopes=None):
    voxels = np.resize(VOXELS, (len(positions), 16, 16)) if voxels is None else voxels
    ds = dataset(voxels, ENHANCED_MR, NumberOfFrames=len(positions))
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing, measures.SliceThickness = list(AXIAL), [2, 1.5], 4
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    ds.SharedFunctionalGroupsSequence, frames = [shared], []
    for index, position in enumerate(positions):
        place, scaling, frame = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = list(position)
        frame.PlanePositionSequence = [place]
        if slopes:
            scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = slopes[index], 1, "US"
            frame.PixelValueTransformationSequence = [scaling]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.save_as(path)
    return path


def at_heights(*heights):
    return [(10, 20, height) for height in heights]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (0, 2, 4, 1, 3)])
def test_frames_of_an_enhanced_file_are_put_in_order(tmp_path, order):
    path = write_enhanced(tmp_path / "e.dcm", at_heights(*(4 * k for k in order)), VOXELS[list(order)])
    for file_or_folder in (path, tmp_path):
        image = read_image(file_or_folder)
        np.testing.assert_array_equal(image.voxels, VOXELS)
        expected = [[-1.5, 0, 0, -10], [0, -2, 0, -20], [0, 0, 4, 0], [0, 0, 0, 1]]
        np.testing.assert_allclose(image.ijk_to_ras, expected, atol=1e-9)


def test_an_enhanced_file_with_one_slope_is_rescaled(tmp_path):
    image = read_image(write_enhanced(tmp_path / "e.dcm", at_heights(0, 4, 8), VOXELS[:3], slopes=[0.5] * 3))
    assert image.voxels.dtype == np.float32
    np.testing.assert_allclose(image.voxels, VOXELS[:3] * 0.5 + 1)


def test_repeated_positions_in_an_enhanced_file_are_frames(tmp_path):
    voxels = np.concatenate([VOXELS[:2], VOXELS[2:4]])
    path = write_enhanced(tmp_path / "e.dcm", at_heights(0, 4, 0, 4), voxels)
    assert "0 to 1" in refusal(tmp_path)
    np.testing.assert_array_equal(read_image(path, frame=1).voxels, VOXELS[2:4])


@pytest.mark.parametrize(
    ("positions", "slopes", "named"),
    [
        (at_heights(0, 4, 8, 16, 20), None, "1 slices are missing: 1 between 8.00 mm and 16.00 mm"),
        ([(0, k, 4 * k) for k in range(5)], None, "tilted by 14.0 degrees"),
        (at_heights(0, 4, 8), [1, 2, 3], "different rescale slopes"),
    ],
)
def test_what_gdcm_would_misplace_or_misscale_in_an_enhanced_file_is_refused(tmp_path, positions, slopes, named):
    write_enhanced(tmp_path / "e.dcm", positions, slopes=slopes)
    assert named in refusal(tmp_path)


def test_frames_of_different_pixel_spacing_are_refused(tmp_path):
    path = write_series(tmp_path) / "2"
    change(path, PixelSpacing=[2, 1.6])
    assert "differ in orientation or pixel spacing" in refusal(tmp_path)


def test_a_multiframe_file_that_does_not_say_where_its_frames_are_is_refused(tmp_path):
    dataset(VOXELS, SECONDARY, NumberOfFrames=5).save_as(tmp_path / "capture.dcm")
    assert "does not say where its frames are" in refusal(tmp_path)


# --- the order of slices alone ---


@settings(max_examples=60)
@given(st.integers(2, 12), st.integers(1, 4), st.floats(0.05, 20), st.tuples(*[st.floats(-3, 3)] * 3), st.randoms())
def test_any_regular_stack_is_put_in_order_along_its_normal(slices, frames, distance, turn, random):
    axes = Rotation.from_rotvec(turn).as_matrix()
    images = [(k, frame) for k in range(slices) for frame in range(frames)]
    random.shuffle(images)
    positions = [5 * axes[0] + k * distance * axes[2] for k, _ in images]
    table, step = arrange(positions, axes[:2].ravel(), [100 * frame + k for k, frame in images])
    assert [[images[index] for index in row] for row in table] == [
        [(k, frame) for k in range(slices)] for frame in range(frames)
    ]
    assert step == pytest.approx(distance)
