"""Headers of NIfTI, NRRD and MetaImage files that ITK would repair silently, or follow out of their folder."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from SlicerHPOLib.image import ImageError, read_image

VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
DATA = VOXELS.tobytes()
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def refusal(path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def nifti(folder, voxels=VOXELS, name="v.nii", qform=0, sform=1, **fields):
    """A NIfTI file of `voxels` (k, j, i) whose header is changed afterwards, so that nibabel cannot object."""
    image = nib.Nifti1Image(voxels.T, AFFINE)
    image.set_qform(AFFINE, qform)
    image.set_sform(AFFINE, sform)
    path = folder / "before.nii"
    image.to_filename(path)
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, nib.nifti1.header_dtype, 1).copy()
    for field, value in fields.items():
        header[0][field] = value
    content[:348] = header.tobytes()
    path.unlink()
    path = folder / name
    path.write_bytes(gzip.compress(bytes(content)) if name.endswith(".gz") else bytes(content))
    return path


# --- NIfTI ---


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, 3), (1, -1024), (2, 0), (-1, 5)])
def test_nifti_slope_and_intercept_are_applied(tmp_path, slope, intercept):
    image = read_image(nifti(tmp_path, scl_slope=slope, scl_inter=intercept))
    assert image.voxels.dtype == np.float32
    np.testing.assert_allclose(image.voxels, VOXELS * slope + intercept)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0, 0), (np.nan, np.nan)])
def test_nifti_voxels_without_rescaling_keep_their_integers(tmp_path, slope, intercept):
    image = read_image(nifti(tmp_path, scl_slope=slope, scl_inter=intercept))
    assert image.voxels.dtype == np.int16
    np.testing.assert_array_equal(image.voxels, VOXELS)


@pytest.mark.parametrize("slope", [0, np.nan])
def test_an_intercept_without_a_slope_is_contradictory(tmp_path, slope):
    assert "scl_inter is 7" in refusal(nifti(tmp_path, scl_slope=slope, scl_inter=7))


@pytest.mark.parametrize(("qform", "sform"), [(1, 0), (0, 1), (1, 1), (0, 4), (2, 2)])
def test_qform_or_sform_alone_place_the_volume(tmp_path, qform, sform):
    np.testing.assert_allclose(read_image(nifti(tmp_path, qform=qform, sform=sform)).ijk_to_ras, AFFINE, atol=1e-4)


def test_a_nifti_without_qform_and_sform_has_its_spacing_only(tmp_path):
    image = read_image(nifti(tmp_path, qform=0, sform=0))
    assert image.spacing_mm.tolist() == [2, 3, 4]
    assert image.ras_of((0, 0, 0)).tolist() == [0, 0, 0]


def test_spacing_in_micrometres_is_converted_to_mm(tmp_path):
    np.testing.assert_allclose(read_image(nifti(tmp_path, xyzt_units=3)).spacing_mm, [0.002, 0.003, 0.004], rtol=1e-6)


def test_big_endian_files_are_read(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.Nifti1Image(VOXELS.T, AFFINE, header).to_filename(tmp_path / "v.nii")
    image = read_image(tmp_path / "v.nii")
    np.testing.assert_array_equal(image.voxels, VOXELS)
    np.testing.assert_allclose(image.ijk_to_ras, AFFINE, atol=1e-4)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("spacing", [0, -2, np.nan, np.inf])
def test_a_spacing_that_is_no_positive_number_is_refused_where_itk_takes_1_mm(tmp_path, name, spacing, capfd):
    message = refusal(nifti(tmp_path, name=name, pixdim=[1, spacing, 3, 4, 0, 0, 0, 0]))
    assert "must be positive" in message
    assert f"{spacing} x 3 x 4" in message
    assert capfd.readouterr().err == ""


def test_a_spacing_that_contradicts_the_sform_is_refused_with_both(tmp_path, capfd):
    message = refusal(nifti(tmp_path, pixdim=[1, 2, 3, 5, 0, 0, 0, 0]))
    assert "2 x 3 x 5 mm" in message
    assert "2 x 3 x 4 mm" in message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"srow_x": [2, 1, 0, 0]}, "right angles"),
        ({"srow_x": [0, 3, 0, 0], "srow_y": [0, 3, 0, 0]}, "degenerate"),
        ({"srow_x": 0, "srow_y": 0, "srow_z": 0}, "degenerate"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "not finite"),
        ({"qform": 1, "sform": 0, "quatern_b": np.nan}, "not finite"),
    ],
)
def test_axes_that_span_no_box_are_refused(tmp_path, fields, named, capfd):
    assert named in refusal(nifti(tmp_path, **fields))
    assert capfd.readouterr().err == ""


def test_a_sheared_sform_gives_way_to_a_straight_qform_as_in_itk(tmp_path, capfd):
    image = read_image(nifti(tmp_path, qform=1, sform=2, srow_x=[-2, 0.5, 0, 10]))
    np.testing.assert_allclose(image.ijk_to_ras, AFFINE, atol=1e-4)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"dim": [3, 20000, 30000, 30000, 1, 1, 1, 1]}, "36,000,000,000,352 bytes"),
        ({"vox_offset": 1e9}, "truncated"),
        ({"vox_offset": 10}, "vox_offset of 10"),
        ({"vox_offset": np.nan}, "vox_offset of nan"),
        ({"dim": [3, 6, 5, -4, 1, 1, 1, 1]}, "impossible dimensions (3, 6, 5, -4"),
        ({"dim": [9, 6, 5, 4, 1, 1, 1, 1]}, "impossible dimensions (9"),
        ({"datatype": 1536}, "data type 1536"),
        ({"sizeof_hdr": 540}, "NIfTI-2"),
        ({"magic": b"abc"}, "not a NIfTI"),
    ],
)
def test_an_impossible_nifti_header_is_refused(tmp_path, fields, named):
    assert named in refusal(nifti(tmp_path, **fields))


def test_a_2d_nifti_is_a_single_slice(tmp_path):
    assert "single slice of 6 x 5 pixels" in refusal(nifti(tmp_path, VOXELS[0]))


def test_frames_of_a_5d_nifti_are_counted_through_all_its_further_dimensions(tmp_path):
    voxels = np.arange(3 * 2 * 120, dtype=np.int16).reshape(3, 2, 4, 5, 6)
    path = nifti(tmp_path, voxels)
    assert "0 to 5" in refusal(path)
    for frame in range(6):
        np.testing.assert_array_equal(read_image(path, frame=frame).voxels, voxels.reshape(6, 4, 5, 6)[frame])


def test_a_compressed_nifti_named_nii_is_refused_with_its_right_name(tmp_path):
    path = nifti(tmp_path, name="v.nii.gz").rename(tmp_path / "v.nii")
    assert "rename it to end in .nii.gz" in refusal(path)


# --- NRRD ---

NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "6 5 4",
    "space directions": "(2,0,0) (0,-3,0) (0,0,4)",
    "space origin": "(-10,-20,30)",
    "endian": "little",
    "encoding": "raw",
}
NRRD_RAS = np.array([[-2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def nrrd(folder, data=DATA, name="v.nrrd", **fields):
    """A NRRD file; a field of None is left out, an underscore in its name is a space."""
    given = NRRD | {key.replace("_", " "): value for key, value in fields.items()}
    lines = ["NRRD0004", "# a comment: with a colon", *(f"{key}: {value}" for key, value in given.items() if value)]
    path = folder / name
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    return path


def test_a_nrrd_is_placed_by_its_space(tmp_path):
    image = read_image(nrrd(tmp_path))
    np.testing.assert_allclose(image.ijk_to_ras, NRRD_RAS)
    np.testing.assert_array_equal(image.voxels, VOXELS)
    mirrored = read_image(nrrd(tmp_path, space="right-anterior-superior"))
    np.testing.assert_allclose(mirrored.ijk_to_ras, np.diag([-1, -1, 1, 1]) @ NRRD_RAS)


@pytest.mark.parametrize("data_file", ["v.raw", "./deep/v.raw", "Größe.raw"])
def test_a_detached_nrrd_finds_its_data_below_its_folder(tmp_path, data_file):
    (tmp_path / "deep").mkdir()
    (tmp_path / data_file).write_bytes(VOXELS.tobytes())
    np.testing.assert_array_equal(read_image(nrrd(tmp_path, b"", "v.nhdr", data_file=data_file)).voxels, VOXELS)


def test_a_detached_compressed_nrrd_is_read_and_its_damage_noticed(tmp_path):
    data = tmp_path / "v.raw.gz"
    data.write_bytes(gzip.compress(VOXELS.tobytes()))
    path = nrrd(tmp_path, b"", "v.nhdr", data_file="v.raw.gz", encoding="gzip")
    np.testing.assert_array_equal(read_image(path).voxels, VOXELS)
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ImageError, match=r"v\.raw\.gz: truncated"):
        read_image(path)


OUTSIDE = ["../secret.raw", "deep/../../secret.raw", "/etc/passwd", "C:\\secret.raw", "..\\secret.raw"]


@pytest.mark.parametrize("data_file", OUTSIDE)
@pytest.mark.parametrize("name", ["v.nrrd", "v.nhdr"])
def test_a_nrrd_header_cannot_name_data_outside_its_folder(tmp_path, data_file, name):
    (tmp_path / "here").mkdir()
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    message = refusal(nrrd(tmp_path / "here", b"", name, data_file=data_file))
    assert repr(data_file) in message
    assert "outside" in message


def test_missing_data_are_named(tmp_path):
    assert "'gone.raw' is missing" in refusal(nrrd(tmp_path, b"", data_file="gone.raw"))


@pytest.mark.parametrize("data_file", ["LIST", "slice%03d.raw 1 4 1"])
def test_voxels_spread_over_several_files_are_refused(tmp_path, data_file):
    assert "several files" in refusal(nrrd(tmp_path, b"", data_file=data_file))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"space_directions": "(2,0,0) (0,3,0) (0,1,4)"}, "right angles"),
        ({"space_directions": "(2,0,0) (2,0,0) (0,0,4)"}, "degenerate"),
        ({"space_directions": "(2,0,0) (0,0,0) (0,0,4)"}, "[2, 0, 4]"),
        ({"space_directions": "none (0,3,0) (0,0,4)"}, "2 vectors"),
        ({"space": None, "space_directions": None, "space_origin": None, "spacings": "2 0 4"}, "2 x 0 x 4"),
        ({"space": None, "space_directions": None, "space_origin": None, "spacings": "2 -3 4"}, "2 x -3 x 4"),
        ({"space": None, "space_directions": None, "space_origin": None, "spacings": "2 wide 4"}, "'2 wide 4'"),
        ({"space": None, "space_directions": None, "space_origin": None}, "no voxel spacing"),
    ],
)
def test_a_nrrd_of_impossible_geometry_is_refused(tmp_path, fields, named):
    assert named in refusal(nrrd(tmp_path, **fields))


# --- MetaImage ---

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 -1 0 0 0 1",
    "Offset": "-10 -20 30",
    "ElementSpacing": "2 3 4",
    "DimSize": "6 5 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def meta(folder, data=DATA, name="v.mha", **fields):
    """A MetaImage file; a field of None is left out."""
    given = {**META, **fields}
    given["ElementDataFile"] = given.pop("ElementDataFile")  # comes last
    path = folder / name
    path.write_bytes("".join(f"{key} = {value}\n" for key, value in given.items() if value).encode() + data)
    return path


def test_a_metaimage_is_placed_by_its_matrix_spacing_and_offset(tmp_path):
    image = read_image(meta(tmp_path))
    np.testing.assert_allclose(image.ijk_to_ras, NRRD_RAS)
    np.testing.assert_array_equal(image.voxels, VOXELS)


def test_a_detached_metaimage_finds_its_data_and_notices_when_they_are_short(tmp_path, capfd):
    (tmp_path / "v.raw").write_bytes(VOXELS.tobytes())
    path = meta(tmp_path, b"", "v.mhd", ElementDataFile="v.raw")
    np.testing.assert_array_equal(read_image(path).voxels, VOXELS)
    (tmp_path / "v.raw").write_bytes(VOXELS.tobytes()[:-1])
    assert "announces 240 bytes, only 239" in refusal(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("data_file", OUTSIDE)
def test_a_metaimage_header_cannot_name_data_outside_its_folder(tmp_path, data_file):
    (tmp_path / "here").mkdir()
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    message = refusal(meta(tmp_path / "here", b"", "v.mhd", ElementDataFile=data_file))
    assert repr(data_file) in message
    assert "outside" in message


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"TransformMatrix": "1 0 0 0 1 0 0 0.5 1"}, "right angles"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "degenerate"),
        ({"ElementSpacing": "2 0 4"}, "2 x 0 x 4"),
        ({"ElementSpacing": "2 -3 4"}, "2 x -3 x 4"),
        ({"ElementSpacing": "nan 3 4"}, "nan x 3 x 4"),
        ({"ElementSpacing": None}, "no voxel spacing"),
        ({"DimSize": "6 5 0"}, "'6 5 0'"),
        ({"DimSize": "six 5 4"}, "'six 5 4'"),
        ({"DimSize": "6000 5000 4000"}, "240,000,000,000 bytes"),
        ({"ElementType": "MET_FOO"}, "MET_FOO"),
        ({"ElementType": None}, "no ElementType"),
        ({"BinaryData": "False"}, "as text"),
        ({"ElementDataFile": "LIST"}, "several files"),
        ({"ElementDataFile": "gone.raw"}, "'gone.raw' is missing"),
        ({"CompressedData": "True"}, "damaged"),
    ],
)
def test_an_impossible_metaimage_is_refused(tmp_path, fields, named, capfd):
    assert named in refusal(meta(tmp_path, **fields))
    assert capfd.readouterr().err == ""
