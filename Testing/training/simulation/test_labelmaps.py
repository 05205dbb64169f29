import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage
from SlicerHPOLib.job import Cancelled, Job

from training.simulation import refine
from training.simulation.anatomy import Landmarks
from training.simulation.bodyparts3d import build_bodyparts3d
from training.simulation.labelmapcache import load_anatomies, load_anatomy, prepare_label_maps
from training.simulation.labelmaps import (
    TABLES,
    LabelMapAnatomy,
    LabelMapError,
    centre_line,
    make_anatomy,
    read_label_map,
    read_table,
)
from training.simulation.tissues import LABEL

SHARED = Path(os.environ.get("SLICERHPO_SHARED", Path(__file__).parents[4] / "shared")) / "data"
HEAD = Landmarks({}, only="head")
TABLE = {
    "name": "toy",
    "attribution": "made here",
    "tissue_of_label": {"0": "air", "1": "fat", "2": "liver", "7": "muscle"},
    "landmarks": {"only": "abdomen"},
}


def write(path, voxels, directions=(1, 0, 0, 0, 1, 0, 0, 0, 1), origin=(0, 0, 0), spacing=(1, 1, 1)):
    image = sitk.GetImageFromArray(voxels)
    image.SetDirection(directions)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


def ball(shape, centre, radius):
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


def test_a_point_has_the_label_of_its_nearest_voxel_and_air_is_outside():
    labels = np.arange(1, 25, dtype=np.uint8).reshape(2, 3, 4)
    affine = np.array([[2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 5, 30], [0, 0, 0, 1]])
    anatomy = LabelMapAnatomy("toy", labels, affine, HEAD)
    points = np.array([[[10, 20, 30], [12.9, 21.4, 30]], [[16, 26, 35], [8.9, 20, 30]], [[10, 20, 38], [1e6, -1e6, 0]]])
    assert anatomy.labels_at(points).tolist() == [[1, 2], [24, 0], [0, 0]]
    assert anatomy.labels_at(points).dtype == np.uint8
    np.testing.assert_allclose(anatomy.box_mm, [[9, 18.5, 27.5], [17, 27.5, 37.5]])


def test_an_oblique_map_finds_every_voxel_centre():
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * (1.0, 2.0, 3.0), (5, -7, 900)
    labels = rng.integers(0, 30, (5, 6, 7)).astype(np.uint8)
    k, j, i = np.indices(labels.shape)
    points = np.stack([i, j, k], axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    np.testing.assert_array_equal(LabelMapAnatomy("toy", labels, affine, HEAD).labels_at(points), labels)


def test_a_volume_of_points_is_looked_up_in_a_few_milliseconds():
    labels = np.random.default_rng(0).integers(1, 30, (200, 200, 200)).astype(np.uint8)
    anatomy = LabelMapAnatomy("toy", labels, np.eye(4), HEAD)
    points = (np.stack(np.meshgrid(*[np.linspace(5, 195, n) for n in (128, 128, 3)]), -1)).astype(np.float32)
    took = []
    for _ in range(10):
        start = time.perf_counter()
        anatomy.labels_at(points)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.01  # 2 ms on a free core; other tests may share it


def test_maps_of_any_orientation_are_the_same_anatomy(tmp_path):
    voxels = np.zeros((4, 5, 6), np.int16)
    voxels[1:3, 1:4, 1:5], voxels[2, 3, 1] = 1, 2
    path = write(tmp_path / "a.nrrd", voxels)
    flipped = write(tmp_path / "b.nii.gz", voxels[:, ::-1, ::-1].copy(), (-1, 0, 0, 0, -1, 0, 0, 0, 1), (5, 4, 0))
    one, two = read_label_map(path, TABLE), read_label_map(flipped, TABLE)
    point = np.array([-1.0, -3.0, 2.0])  # LPS (1, 3, 2) in RAS
    assert one.labels_at(point) == two.labels_at(point) == LABEL["liver"]
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_allclose(one.ijk_to_ras, two.ijk_to_ras)


def test_sites_and_canal_come_from_the_labels():
    voxels = np.zeros((30, 20, 20), np.int16)
    voxels[:, 8:11, 4:7] = 7
    voxels[5:8, 14:17, 12:15] = 2
    table = {**TABLE, "sites_of_labels": {"liver": [2]}, "canal_labels": [7], "sites_of_tissues": {"neck": ["muscle"]}}
    marks = make_anatomy(voxels, np.diag([1.0, 1.0, 2.0, 1.0]), table).landmarks
    assert marks.sites_mm == {"liver": (13, 15, 12), "neck": (5, 9, 29)}
    np.testing.assert_allclose(marks.canal_mm[[0, -1]], [[5, 9, 0], [5, 9, 58]], atol=12)
    assert (np.diff(marks.canal_mm[:, 2]) > 0).all()


def test_the_canal_ends_where_its_fluid_becomes_that_of_the_brain():
    mask = np.zeros((40, 80, 80), bool)
    mask[:25, 38:42, 38:42] = True
    mask[25:, 5:75, 5:75] = True
    line = centre_line(mask, np.eye(4), smooth_mm=0.1)
    assert len(line) == 25 and line[-1, 2] == pytest.approx(24)


def test_an_exception_renames_a_label_within_its_box():
    voxels = np.ones((4, 4, 4), np.int16)
    table = {**TABLE, "exceptions": [{"label": 1, "box_mm": [[0, 0, 0], [1, 3, 3]], "tissue": "bile"}]}
    labels = make_anatomy(voxels, np.eye(4), table).labels
    assert (labels[:, :, :2] == LABEL["bile"]).all() and (labels[:, :, 2:] == LABEL["fat"]).all()


def test_bad_maps_and_tables_are_explained(tmp_path):
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(LabelMapError, match="cannot be read as a label map"):
        read_label_map(tmp_path / "text.nii", TABLE)
    with pytest.raises(LabelMapError, match=r"names no tissue for the labels \[3, 9\]"):
        make_anatomy(np.array([[[0, 3, 9, 1]]]), np.eye(4), TABLE)
    with pytest.raises(LabelMapError, match="empty"):
        make_anatomy(np.zeros((2, 2, 2), int), np.eye(4), TABLE)
    (tmp_path / "t.json").write_text(json.dumps({**TABLE, "tissue_of_label": {"0": "cheese"}}))
    with pytest.raises(LabelMapError, match=r"unknown tissues .*cheese"):
        read_table(tmp_path / "t.json")
    (tmp_path / "t.json").write_text('{"name": "x"}')
    with pytest.raises(LabelMapError, match=r"lacks .*attribution"):
        read_table(tmp_path / "t.json")
    with pytest.raises(LabelMapError, match="no readable class table"):
        read_table(tmp_path / "none.json")


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.json")), ids=lambda path: path.stem)
def test_the_projects_tables_are_valid_and_give_credit(path):
    table = read_table(path.stem)
    assert len(table["attribution"]) > 20
    Landmarks(**table["landmarks"] | {"boundaries_mm": table["landmarks"].get("boundaries_mm", {})})


def test_upsampling_keeps_position_and_volume_and_rounds_the_steps():
    coarse = np.where(ball((24, 24, 24), (11.3, 12.1, 11.8), 8.2), LABEL["liver"], 0).astype(np.uint8)
    fine = refine.upsample(coarse, slices=5)  # blocks must not show
    np.testing.assert_array_equal(fine, refine.upsample(coarse, slices=100))
    wanted = ball(fine.shape, 2 * np.array([11.3, 12.1, 11.8]) + 0.5, 2 * 8.2) * LABEL["liver"]
    overlap = 2 * (fine & wanted > 0).sum() / ((fine > 0).sum() + (wanted > 0).sum())
    blocky = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert overlap > 0.97 and overlap > 2 * (blocky & wanted > 0).sum() / ((blocky > 0).sum() + (wanted > 0).sum())


def test_noise_has_unit_variance_and_does_not_depend_on_the_window():
    noise = refine.Noise.over((60, 50, 40), (1, 1, 1), 5.0, np.random.default_rng(1))
    whole = noise((slice(0, 60), slice(0, 50), slice(0, 40)))
    assert abs(whole.std() - 1) < 0.1 and np.abs(np.diff(whole, axis=0)).mean() < 0.4
    np.testing.assert_allclose(noise((slice(7, 20), slice(3, 9), slice(30, 40))), whole[7:20, 3:9, 30:40], atol=1e-5)


def test_a_shell_is_as_thick_as_asked():
    labels = np.full((20, 9, 9), LABEL["marrow"], np.uint8)
    labels[[0, -1]] = 0
    refine.shell(labels, "marrow", "cortical_bone", 2.0, (1.0, 1.0, 1.0))
    assert (labels[:, 4, 4] == LABEL["cortical_bone"]).nonzero()[0].tolist() == [1, 2, 17, 18]


def test_structures_get_an_envelope_of_fat_and_skin():
    labels = np.zeros((30, 60, 60), np.uint8)
    labels[:, 25:35, 20:26] = labels[:, 25:35, 34:40] = LABEL["muscle"]
    refine.envelope(labels, closing_mm=15.0, fat_mm=6.0, spacing=np.ones(3))
    row = labels[15, 30]
    assert row[30] == LABEL["fat"]  # the gap between them
    first = np.flatnonzero(row)[0]
    assert row[first] == LABEL["skin"] and 20 - first == pytest.approx(6, abs=1)


def test_a_heads_soft_tissue_becomes_fat_under_skin_and_muscle_below_with_its_airway_kept():
    shape = (60, 80, 70)
    labels = np.zeros(shape, np.uint8)
    labels[ball(shape, (30, 40, 35), 29)] = LABEL["skin"]
    labels[ball(shape, (30, 40, 35), 27)] = LABEL["organ"]
    labels[ball(shape, (30, 40, 35), 5)] = 0
    labels[0, 0, 0] = LABEL["csf"]  # a stray voxel
    head = refine.head(LabelMapAnatomy("head", labels, np.eye(4), HEAD), np.random.default_rng(0)).labels
    depth = 29 - np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), (30, 40, 35), strict=True)))
    tight = slice(1, -1), slice(11, -10), slice(6, -5)  # cropped to the head, the same fat lies under its skin
    cropped = refine.head(
        LabelMapAnatomy("head", labels[tight].copy(), np.eye(4), HEAD), np.random.default_rng(0)
    ).labels
    under = (depth > 2.5) & (depth < 3.5) & (np.indices(shape)[0] > 8)
    assert (cropped[under[tight]] == LABEL["fat"]).mean() > 0.9
    assert not (head == LABEL["organ"]).any() and head[30, 40, 35] == 0 and head[0, 0, 0] == 0
    assert (head[(depth > 2.5) & (depth < 3.5)] == LABEL["fat"]).mean() > 0.9
    assert (head[(depth > 15) & (depth < 22)] == LABEL["muscle"]).mean() > 0.7


def test_a_body_gains_marrow_walls_and_muscle_between_muscles_and_keeps_its_frame():
    shape = (30, 40, 60)
    labels = np.zeros(shape, np.uint8)
    labels[:, 4:36, 4:56] = LABEL["fat"]
    labels[:, 10:30, 10:13] = labels[:, 10:30, 16:19] = LABEL["muscle"]
    labels[:, 16:24, 24:32] = LABEL["marrow"]
    labels[8:22, 12:28, 38:52] = LABEL["bowel_wall"]
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    coarse = LabelMapAnatomy("body", labels, affine, Landmarks({}, only="abdomen"))
    body = refine.body(coarse, np.random.default_rng(0))

    def at(i, j, k):
        return body.labels_at(np.array([3.0 * i, 3.0 * j, 3.0 * k]))

    assert body.labels.shape == (60, 80, 120)
    np.testing.assert_allclose(body.box_mm, coarse.box_mm, atol=1.5)
    between = body.labels[20:40, 30:50, 27:31]
    assert (between == LABEL["muscle"]).mean() > 0.6 and at(28, 20, 15) == LABEL["marrow"]
    assert at(23.75, 20, 15) == LABEL["cortical_bone"] and at(3.75, 20, 15) == LABEL["skin"]
    bowel = body.labels[16:44, 24:56, 76:104]
    assert {LABEL["bowel_wall"], LABEL["bowel_content"]} <= set(np.unique(bowel).tolist())


def test_the_same_source_is_prepared_once_and_loads_as_it_was(tmp_path):
    source, cache = tmp_path / "source", tmp_path / "cache"
    (source / "labelmaps/heads").mkdir(parents=True)
    voxels = np.zeros((40, 40, 40), np.int16)
    voxels[ball(voxels.shape, (20, 20, 20), 18)] = 511
    voxels[ball(voxels.shape, (20, 20, 20), 16)] = 507
    voxels[ball(voxels.shape, (20, 20, 20), 8)] = 3
    path = write(source / "labelmaps/heads/training_seg_01.nii.gz", voxels)
    (first,) = prepare_label_maps(source, cache)
    stamp = first.stat().st_mtime_ns
    assert prepare_label_maps(source, cache) == [first] and first.stat().st_mtime_ns == stamp
    (anatomy,) = load_anatomies(cache)
    assert anatomy.name == "head01" and anatomy.landmarks.region_at(0) == "head"
    assert anatomy.landmarks.sites_mm["brain"] == pytest.approx((-20, -20, 20), abs=0.01)
    assert anatomy.labels.shape == (37, 37, 37) and anatomy.labels_at(np.array([-20, -20, 20])) == LABEL["grey_matter"]
    voxels[20, 20, 20] = 4
    write(path, voxels)
    (second,) = prepare_label_maps(source, cache)
    assert second != first and not first.exists() and list(cache.iterdir()) == [second]


def test_preparing_nothing_is_an_error_and_cancelling_leaves_nothing(tmp_path):
    with pytest.raises(LabelMapError, match="no label map found"):
        prepare_label_maps(tmp_path, tmp_path / "cache")
    (tmp_path / "labelmaps/heads").mkdir(parents=True)
    write(tmp_path / "labelmaps/heads/training_seg_01.nii.gz", np.full((8, 8, 8), 507, np.int16))
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        prepare_label_maps(tmp_path, tmp_path / "cache", job)
    assert not list((tmp_path / "cache").iterdir())
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(LabelMapError, match="not a prepared label map"):
        load_anatomy(tmp_path / "broken.npz")


# --- BodyParts3D surfaces ---------------------------------------------------------------------------------------------


def cube(low, high):
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (np.subtract(high, low)) + low
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, faces


def sphere(radius, rings=40):
    theta, phi = np.meshgrid(np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False))
    points = radius * np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    n = 2 * rings
    faces = [
        (a * rings + b, ((a + 1) % n) * rings + b, ((a + 1) % n) * rings + b + 1, a * rings + b + 1)
        for a in range(n)
        for b in range(rings - 1)
    ]
    return points.reshape(-1, 3), faces


def write_obj(path, points, faces):
    lines = ["v " + " ".join(f"{x:.6f}" for x in point) for point in points]
    lines += ["f " + " ".join(f"{index + 1}//{index + 1}" for index in face) for face in faces]
    path.write_text("\n".join(lines))


SURFACES = {
    "name": "toy",
    "attribution": "made here",
    "landmarks": {"only": "abdomen"},
    "tissue_of_part": [["FJ1$", "liver"], ["stone in the liver", "cortical_bone"]],
    "fat_mm": 0,
    "closing_mm": 6.0,
}


def test_closed_surfaces_become_voxels_of_the_right_volume_and_place(tmp_path):
    write_obj(tmp_path / "FJ1.obj", *sphere(30.0))
    write_obj(tmp_path / "FJ2.obj", *cube((5, -8, -10), (15, 2, 12)))  # L, P, S
    (tmp_path / "isa_element_parts.txt").write_text("FMA1\tStone in the liver\tFJ2\n")
    body = build_bodyparts3d(tmp_path, SURFACES, spacing_mm=1.0)
    assert (body.labels > 0).sum() == pytest.approx(4 / 3 * np.pi * 30**3, rel=0.02)
    assert (body.labels == LABEL["cortical_bone"]).sum() == pytest.approx(10 * 10 * 22, rel=0.02)
    centre = ndimage.center_of_mass(body.labels == LABEL["cortical_bone"])[::-1] @ body.ijk_to_ras[:3, :3]
    np.testing.assert_allclose(centre + body.ijk_to_ras[:3, 3], (-10, 3, 1), atol=0.51)  # R, A, S


def test_a_body_without_skin_gets_an_envelope(tmp_path):
    write_obj(tmp_path / "FJ1.obj", *sphere(30.0))
    table = {**SURFACES, "tissue_of_part": [["FJ1$", "muscle"]], "fat_mm": 5.0}
    body = build_bodyparts3d(tmp_path, table, spacing_mm=2.0)
    assert np.ptp(body.box_mm, axis=0) == pytest.approx([70, 70, 70], abs=4)
    assert {LABEL["skin"], LABEL["fat"], LABEL["muscle"]} <= set(np.unique(body.labels).tolist())


def test_missing_open_and_broken_surfaces_are_named(tmp_path):
    with pytest.raises(LabelMapError, match=r"no \.obj file"):
        build_bodyparts3d(tmp_path, SURFACES)
    points, faces = cube((0, 0, 0), (20, 20, 20))
    write_obj(tmp_path / "FJ1.obj", points, faces)
    with pytest.raises(LabelMapError, match=r"no surface file for 'stone in the liver' \(cortical_bone\)"):
        build_bodyparts3d(tmp_path, SURFACES)
    write_obj(tmp_path / "FJ1.obj", points, faces[1:])
    table = {**SURFACES, "tissue_of_part": [["FJ1$", "liver"]]}
    with pytest.raises(LabelMapError, match=r"FJ1\.obj.*not closed"):
        build_bodyparts3d(tmp_path, table, spacing_mm=1.0)
    (tmp_path / "FJ1.obj").write_text("v 0 0 zero\nf 1 2 3")
    with pytest.raises(LabelMapError, match=r"FJ1\.obj: not a readable OBJ"):
        build_bodyparts3d(tmp_path, table)


# --- the real maps ----------------------------------------------------------------------------------------------------


def shared(path):
    if not (SHARED / path).exists():
        pytest.skip(f"{SHARED / path} is not here")
    return SHARED / path


def test_the_whole_body_map_has_its_liver_right_and_its_landmarks_where_the_organs_are():
    body = read_label_map(shared("wholebody/bodyparts3d_20cls_3mm.nii.gz"), "wholebody")
    marks = body.landmarks
    assert marks.sites_mm["liver"][0] > 30 and marks.sites_mm["heart"][0] < -10
    assert [marks.region_at(marks.sites_mm[s][2]) for s in ("knee_left", "prostate", "liver", "heart", "brain")] == [
        "legs",
        "pelvis",
        "abdomen",
        "chest",
        "head",
    ]
    top_of_liver = np.nonzero((body.labels == LABEL["liver"]).any(axis=(1, 2)))[0][-1] * 3.0 + body.ijk_to_ras[2, 3]
    assert marks.boundaries_mm["abdomen/chest"] == pytest.approx(top_of_liver, abs=4)
    assert body.labels_at(np.array(marks.canal_mm[len(marks.canal_mm) // 2])) in (LABEL["csf"], LABEL["spinal_cord"])


def test_the_pelvis_of_the_whole_body_map_is_refined():
    body = read_label_map(shared("wholebody/bodyparts3d_20cls_3mm.nii.gz"), "wholebody")
    part = LabelMapAnatomy("part", body.labels[300:330], body.ijk_to_ras, body.landmarks)  # hips, in file coordinates
    fine = refine.body(part, np.random.default_rng(0)).labels
    muscle = (part.labels == LABEL["muscle"]).mean(), (fine == LABEL["muscle"]).mean()
    assert muscle[1] > 1.3 * muscle[0]
    assert {"skin", "cortical_bone", "marrow", "bladder", "bowel_content"} <= {
        name for name, label in LABEL.items() if (fine == label).any()
    }


def test_a_head_map_is_read_and_lies_the_right_way_round():
    head = read_label_map(shared("labelmaps/heads/training_seg_03.nii.gz"), "head")
    eyes, brain = (np.argwhere(head.labels == LABEL[name]).mean(axis=0) for name in ("eye", "grey_matter"))
    assert eyes[1] > brain[1] + 40 and eyes[0] < brain[0]  # in front of and below the brain
    assert head.landmarks.region_at(0.0) == "head"
