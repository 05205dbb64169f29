"""DICOM series: found in a folder, listed, one chosen, its slices put in order in space, and read.

SimpleITK (GDCM) decodes headers and voxels and applies each slice's own rescale slope and intercept. The geometry is
worked out here from every slice's position, because ITK takes it from the first slice and the mean distance, and GDCM
gives an enhanced multi-frame file of uneven, repeated or tilted frames a made-up one: what is no regular stack of
slices is refused by name.

Source: DICOM PS3.3, C.7.6.2 (Image Plane) and C.7.6.16 (Multi-frame Functional Groups). Here all is LPS mm, as DICOM
    has it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from .itk import (
    DTYPES,
    LPS_TO_RAS,
    PIXEL_TYPES,
    ImageError,
    array_of,
    chosen_frame,
    execute,
    file_name,
    quiet,
    reason,
)
from .job import Job
from .words import _, joined, named

_SAME_POSITION_MM = 1e-3
_UNEVEN = 0.05  # of the slice distance: how much a distance may differ before the slices are not evenly spaced
_TILT_DEGREES = 0.5  # a smaller gantry tilt is rounding
# Storage classes whose damaged files are slices gone missing: CT, MR, PET and their enhanced forms (PS3.4, B.5)
_VOLUME_CLASSES = {
    f"1.2.840.10008.5.1.4.1.1.{ending}" for ending in ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130")
}


@dataclass(frozen=True)
class Slice:
    """What the header of one DICOM file says; LPS mm. A multi-frame file is one `Slice` until it is read."""

    path: Path
    uid: str  # of the image (SOP instance)
    series_uid: str
    series_number: int
    description: str  # of the series
    number: int  # of the image in the series
    size: tuple[int, int, int]  # columns, rows, frames
    spacing_mm: tuple[float, ...]  # between columns (i), between rows (j); empty if not given
    orientation: tuple[float, ...]  # direction of a row (along i), of a column (along j); empty if not given
    position_mm: tuple[float, ...]  # centre of the first voxel; empty if not given
    pixel_type: int  # SimpleITK's, after rescaling
    components: int
    is_mosaic: bool


@dataclass(frozen=True)
class Series:
    """Slices of one DICOM series with the same orientation; a series of several orientations gives several."""

    key: str  # what `choose` finds it by: the SeriesInstanceUID, with "/2", "/3", ... for its further orientations
    slices: tuple[Slice, ...] = field(repr=False)

    @property
    def label(self) -> str:
        """Description and size: what a user is shown, and no patient's data."""
        description = self.slices[0].description
        sizes = (f"{columns} x {rows}" for columns, rows in sorted({s.size[:2] for s in self.slices}))
        count = sum(s.size[2] for s in self.slices)
        label = (
            _("{description}, {sizes}, {count} image") if count == 1 else _("{description}, {sizes}, {count} images")
        )
        return label.format(
            description=repr(description) if description else _("'no description'"),
            sizes=joined(_(" or "), sizes),
            count=count,
        )

    @property
    def folder(self) -> Path:
        """The folder that holds all its files, itself or below."""
        return Path(os.path.commonpath([s.path.parent for s in self.slices]))


def is_dicom(path: Path) -> bool:
    """True if the file is a DICOM file by its preamble, or by its name if it has none."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima")
    except OSError:
        return False


def find_series(files: Sequence[Path], job: Job) -> tuple[list[Series], list[Path]]:
    """The series among `files`, in the order of their series numbers, and the files that are damaged slices of CT, MR
    or PET.

    Files that are no DICOM images are passed over.
    """
    slices, damaged = {}, []
    for index, path in enumerate(files):
        job.progress(index / len(files), _("Reading DICOM headers"))
        if not is_dicom(path):
            continue
        header = _read_header(path)
        if header is not None:
            slices.setdefault(header.uid, header)  # the same image stored twice counts once
        elif _storage_class(path) in _VOLUME_CLASSES:
            damaged.append(path)
    return _group(list(slices.values())), damaged


def choose(found: Sequence[Series], series: str | None, where: Path) -> Series:
    """The one of the series `found` that `series` names: its UID, its number in the list, or its description.

    Raises:
        ImageError: none or several fit; the message lists what there is.
    """
    if series is None:
        fitting = list(found)
        problem = _("holds {count} DICOM series; choose one with the option 'series' (its number or description):")
        problem = problem.format(count=len(found))
    else:
        wanted = series.strip()
        fitting = [s for s in found if s.key == wanted]
        fitting = fitting or [s for number, s in enumerate(found, 1) if str(number) == wanted]
        fitting = fitting or [s for s in found if s.slices[0].description.lower() == wanted.lower()]
        problem = (
            _("{count} of its DICOM series are {series}; choose by number:")
            if fitting
            else _("none of its DICOM series is {series}; choose by number:")
        )
        problem = problem.format(count=len(fitting), series=repr(series))
    if len(fitting) != 1:
        listed = (joined(" ", [f"{number}.", s.label]) for number, s in enumerate(found, 1))
        raise ImageError(named(where, joined("\n  ", [problem, *listed])))
    return fitting[0]


def read_series(series: Series, frame: int | None, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Read a series.

    Args:
        frame: which image to take where there are several at each position (dynamic, multi-echo, ...); else None or 0.

    Returns:
        The voxels (k, j, i) and the (4, 4) matrix from voxel index (i, j, k) to RAS mm; k runs along the normal of the
        slices.

    Raises:
        ImageError: the series is not one regular stack of slices.
    """
    where = _("{folder}, DICOM series {label}").format(folder=series.folder, label=series.label)
    planes = _planes(series, where)
    try:
        table, step_mm = arrange([p.position_mm for p in planes], planes[0].orientation, [p.number for p in planes])
    except ImageError as error:
        raise ImageError(named(where, error)) from None
    order = table[chosen_frame(frame, len(table), where)]

    files = [planes[index] for index in order]
    is_multiframe = files[0].size[2] > 1
    if is_multiframe:
        reader = sitk.ImageFileReader()
        reader.SetFileName(file_name(files[0].path))
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames([file_name(file.path) for file in files])
    reader.SetImageIO("GDCMImageIO")
    reader.SetOutputPixelType(PIXEL_TYPES[_common_dtype(files)])
    try:
        voxels = array_of(execute(reader, job, _("Reading DICOM")))
    except RuntimeError as error:
        raise ImageError(named(where, _("an image cannot be read: {reason}").format(reason=reason(error)))) from None
    if is_multiframe:
        voxels = voxels[order]

    plane = planes[order[0]]
    row, column = np.reshape(plane.orientation, (2, 3))
    matrix = np.eye(4)
    matrix[:3, 0] = row * plane.spacing_mm[0]
    matrix[:3, 1] = column * plane.spacing_mm[1]
    matrix[:3, 2] = np.cross(row, column) * step_mm
    matrix[:3, 3] = plane.position_mm
    return voxels, LPS_TO_RAS @ matrix


def arrange(
    positions_mm: Sequence[Sequence[float]], orientation: Sequence[float], numbers: Sequence[int]
) -> tuple[np.ndarray, float]:
    """Put images in order along the normal of their planes.

    Args:
        positions_mm: (images, 3) centre of the first voxel of each image, LPS.
        orientation: (6,) direction of rows, then of columns, of all images.
        numbers: (images,) instance numbers; they order images at the same position.

    Returns:
        Indices of images, (frames, slices), slices along the normal, and the distance between slices in mm.

    Raises:
        ImageError: slices are missing, unevenly spaced, tilted against their normal, or not repeated equally often.
    """
    positions_mm = np.asarray(positions_mm, float)
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    along = positions_mm @ np.cross(row, column)
    order = np.lexsort((numbers, along))
    begins = np.flatnonzero(np.diff(along[order], prepend=-np.inf) > _SAME_POSITION_MM)
    groups = [sorted(group, key=lambda index: numbers[index]) for group in np.split(order, begins[1:])]
    if len(groups) < 2:
        raise ImageError(
            _("all {count} images are at the same position; a volume needs at least 2 slices.").format(count=len(order))
        )
    if len({len(group) for group in groups}) > 1:
        counts = Counter(len(group) for group in groups)
        listed = joined(
            ", ",
            (
                _("{images} at {places} positions").format(images=images, places=places)
                for images, places in sorted(counts.items())
            ),
        )
        raise ImageError(
            _("not the same number of images at every slice position: {listed}. Images are missing.").format(
                listed=listed
            )
        )
    table = np.array(groups).T

    heights = along[table[0]]
    distances = np.diff(heights)
    usual = float(np.median(distances))
    uneven = np.abs(distances - usual) > max(_UNEVEN * usual, _SAME_POSITION_MM)
    missing = np.round(distances / usual).astype(int) - 1
    if uneven.any() and np.all((missing >= 1) == uneven):
        gaps = joined(
            "; ",
            (
                _("{count} between {low} mm and {high} mm").format(
                    count=missing[i], low=f"{heights[i]:.2f}", high=f"{heights[i + 1]:.2f}"
                )
                for i in np.flatnonzero(uneven)
            ),
        )
        raise ImageError(
            _("{count} slices are missing: {gaps} (along the slice normal, slices {usual} mm apart).").format(
                count=missing[uneven].sum(), gaps=gaps, usual=f"{usual:.2f}"
            )
        )
    if uneven.any():
        raise ImageError(
            _("unevenly spaced slices: {least} mm to {most} mm apart; resample first.").format(
                least=f"{distances.min():.3f}", most=f"{distances.max():.3f}"
            )
        )

    step = positions_mm[table[0, -1]] - positions_mm[table[0, 0]]
    height = heights[-1] - heights[0]
    tilt = np.degrees(np.arccos(np.clip(height / np.linalg.norm(step), -1.0, 1.0)))
    if tilt > _TILT_DEGREES:
        raise ImageError(
            _("the gantry was tilted by {tilt} degrees, so the slices are sheared; resample the series first.").format(
                tilt=f"{tilt:.1f}"
            )
        )
    straight = positions_mm[table[0, 0]] + np.linspace(0.0, 1.0, len(heights))[:, None] * step
    if np.linalg.norm(positions_mm[table] - straight, axis=-1).max() > 0.1 * usual:
        raise ImageError(_("the slices are displaced against each other, so they make no volume."))
    return table, float(height / (len(heights) - 1))


def _planes(series: Series, where: str) -> Sequence[Slice]:
    """The images of a series, the frames of a multi-frame file one by one, when each has its place in space."""
    if any(s.is_mosaic for s in series.slices):
        raise ImageError(
            named(where, _("Siemens mosaic images (slices tiled in one) cannot be read; convert with dcm2niix."))
        )
    if any(s.components != 1 for s in series.slices):
        raise ImageError(named(where, _("colour images; a volume has one real number a voxel.")))
    if len({s.size[:2] for s in series.slices}) > 1:
        raise ImageError(named(where, _("its images differ in size.")))
    planes = _frames(series.slices[0], where) if series.slices[0].size[2] > 1 else series.slices
    if any(not (p.position_mm and p.orientation and p.spacing_mm) for p in planes):
        raise ImageError(
            named(where, _("its images have no position, orientation or pixel spacing, so they make no volume."))
        )
    spacings, orientations = (np.array([getattr(p, name) for p in planes]) for name in ("spacing_mm", "orientation"))
    if spacings.min() <= 0:
        raise ImageError(
            named(where, _("pixel spacing must be positive, not {given} mm.").format(given=planes[0].spacing_mm))
        )
    if np.abs(np.linalg.norm(orientations.reshape(-1, 3), axis=1) - 1).max() > 1e-2:
        raise ImageError(
            named(
                where,
                _("the orientation of an image must be two unit vectors, not {orientation}.").format(
                    orientation=planes[0].orientation
                ),
            )
        )
    if np.ptp(orientations, axis=0).max() > 1e-2 or np.ptp(spacings, axis=0).max() > 1e-3:
        raise ImageError(named(where, _("its images differ in orientation or pixel spacing.")))
    return planes


def _common_dtype(slices: Sequence[Slice]) -> np.dtype:
    """The type that holds all rescaled voxels: integers as narrow as will do, float32 if a slope is a fraction."""
    dtype = np.result_type(*(DTYPES[s.pixel_type] for s in slices))
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


def _group(slices: Sequence[Slice]) -> list[Series]:
    by_uid = defaultdict(list)
    for image in sorted(slices, key=lambda s: (s.series_number, s.series_uid, s.number, str(s.path))):
        by_uid[image.series_uid].append(image)
    found = []
    for uid, images in by_uid.items():
        stacks: list[list[Slice]] = []
        for image in images:
            stack = next((stack for stack in stacks if _is_same_stack(stack[0], image)), None)
            if stack is None:
                stacks.append([image])
            else:
                stack.append(image)
        # A single image of another orientation beside a stack is the scout that shows where its slices are.
        stacks = [stack for stack in stacks if sum(s.size[2] for s in stack) > 1] or stacks
        found += [Series(uid if n == 1 else f"{uid}/{n}", tuple(stack)) for n, stack in enumerate(stacks, 1)]
    return found


def _is_same_stack(a: Slice, b: Slice) -> bool:
    if a.size[2] > 1 or b.size[2] > 1 or len(a.orientation) != len(b.orientation):
        return False  # a multi-frame file is a stack of its own
    return bool(np.allclose(a.orientation, b.orientation, atol=1e-2))


def _read_header(path: Path) -> Slice | None:
    """The header of a DICOM image; None if the file is none (DICOMDIR, report, structure set, no DICOM at all)."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(file_name(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError:
        return None

    def text(tag: str) -> str:
        return reader.GetMetaData(tag).strip("\0 ") if reader.HasMetaDataKey(tag) else ""

    def numbers(tag: str, count: int) -> tuple[float, ...]:
        try:
            values = tuple(float(word) for word in text(tag).split("\\"))
        except ValueError:
            return ()
        return values if len(values) == count and np.isfinite(values).all() else ()

    size = reader.GetSize()
    pixel_spacing = numbers("0028|0030", 2)
    return Slice(
        path=path,
        uid=text("0008|0018") or str(path),
        series_uid=text("0020|000e"),
        series_number=int((numbers("0020|0011", 1) or (0,))[0]),
        description=text("0008|103e"),
        number=int((numbers("0020|0013", 1) or (0,))[0]),
        size=(size[0], size[1], size[2] if len(size) > 2 else 1),
        spacing_mm=pixel_spacing[::-1],  # DICOM gives the distance of rows, which is along j, first
        orientation=numbers("0020|0037", 6),
        position_mm=numbers("0020|0032", 3),
        pixel_type=reader.GetPixelIDValue(),
        components=reader.GetNumberOfComponents(),
        is_mosaic="MOSAIC" in text("0008|0008").upper(),
    )


def _storage_class(path: Path) -> str:
    """The SOP class in the file's meta header (0002,0002), read without a DICOM library because it may be damaged."""
    with path.open("rb") as file:
        head = file.read(1024)
    _before, found, rest = head.partition(b"\x02\x00\x02\x00UI")
    length = int.from_bytes(rest[:2], "little")
    return rest[2 : 2 + length].strip(b"\0 ").decode("ascii", "replace") if found else ""


def _frames(file: Slice, where: str) -> list[Slice]:
    """The frames of an enhanced multi-frame file, from its functional groups, in the order of its voxels."""
    try:
        import pydicom  # GDCM does not pass the sequences on; Slicer brings pydicom along
    except ImportError:
        raise ImageError(named(where, _("multi-frame DICOM needs the package pydicom: pip install pydicom."))) from None
    dataset = pydicom.dcmread(file.path, stop_before_pixels=True, force=True)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(groups) != file.size[2]:
        raise ImageError(
            named(where, _("a multi-frame file that does not say where its frames are, so they make no volume."))
        )

    def values(group: pydicom.Dataset, macro: str, *names: str) -> tuple[float, ...]:
        items = group.get(macro) or shared.get(macro) or [pydicom.Dataset()]
        return tuple(float(value) for name in names for value in np.atleast_1d(items[0].get(name, ())))

    if len({values(g, "PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept") for g in groups}) > 1:
        # GDCM would apply the first frame's to all
        raise ImageError(named(where, _("its frames have different rescale slopes; convert it with dcm2niix first.")))
    return [
        replace(
            file,
            number=number,
            orientation=values(group, "PlaneOrientationSequence", "ImageOrientationPatient"),
            position_mm=values(group, "PlanePositionSequence", "ImagePositionPatient"),
            spacing_mm=values(group, "PixelMeasuresSequence", "PixelSpacing")[::-1],
        )
        for number, group in enumerate(groups)
    ]
