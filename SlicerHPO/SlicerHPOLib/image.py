"""Volumes: read, write, put in RAS order, resample. The one place where files meet arrays and millimetres.

An `Image` is voxels (k, j, i) and the matrix that takes a voxel index (i, j, k) to RAS millimetres. `read_image` gives
one for every file or DICOM folder that can be trusted, and raises an `ImageError` that says what is wrong for every
other.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from types import MappingProxyType

import numpy as np
import SimpleITK as sitk  # noqa: N813

from . import dicom, volumefile
from .itk import DTYPES, ImageError, array_of, execute, file_name, geometry_of, ijk_to_ras_of, quiet, reason
from .job import Job
from .words import _, joined, named

__all__ = [
    "Image",
    "ImageError",
    "ImageSource",
    "find_images",
    "from_sitk",
    "read_image",
    "reorient_to_ras",
    "require_volume",
    "resample",
    "to_sitk",
    "write_image",
]

_WRITTEN = (".nii.gz", ".nii", ".nrrd", ".mha")  # not in two files: those cannot be replaced at once
_INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "cubic": sitk.sitkBSpline}


@dataclass(frozen=True, eq=False)
class Image:
    """A volume in physical space.

    Attributes:
        voxels: (k, j, i), any real type.
        ijk_to_ras: (4, 4) float64, voxel index (i, j, k) -> RAS mm.
        name: safe to show: a file's stem or a folder's name, nothing from inside the file.

    Raises:
        ImageError: not three dimensions, complex voxels, or a matrix that is not finite and invertible.
    """

    voxels: np.ndarray
    ijk_to_ras: np.ndarray
    name: str = ""

    def __post_init__(self):
        voxels, matrix = np.asanyarray(self.voxels), np.array(self.ijk_to_ras, np.float64)
        if voxels.ndim != 3 or voxels.dtype.kind not in "biuf":
            raise ImageError(
                _("An image needs real voxels (k, j, i); given are {dtype} of shape {shape}.").format(
                    dtype=voxels.dtype, shape=voxels.shape
                )
            )
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or (matrix[3] != (0, 0, 0, 1)).any():
            raise ImageError(
                _("ijk_to_ras must be an affine (4, 4) matrix of finite numbers, not {matrix}.").format(
                    matrix=matrix.tolist()
                )
            )
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        if (scale == 0).any() or abs(np.linalg.det(matrix[:3, :3] / scale)) < 1e-6:
            raise ImageError(
                _("ijk_to_ras is singular, so voxels have no place of their own: {matrix}.").format(
                    matrix=matrix.tolist()
                )
            )
        object.__setattr__(self, "voxels", voxels)
        object.__setattr__(self, "ijk_to_ras", matrix)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along k, j, i."""
        return self.voxels.shape

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,) distance of voxels along i, j, k."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def directions(self) -> np.ndarray:
        """(3, 3) whose columns are the unit directions of i, j, k in RAS."""
        return self.ijk_to_ras[:3, :3] / self.spacing_mm

    @property
    def center_mm(self) -> np.ndarray:
        """(3,) the middle of the volume, RAS."""
        return self.ras_of((np.array(self.shape[::-1]) - 1) / 2)

    def ras_of(self, ijk: np.ndarray) -> np.ndarray:
        """RAS mm (..., 3) of voxel indices (..., 3); fractions lie between voxels' centres."""
        return np.asarray(ijk) @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def ijk_of(self, ras_mm: np.ndarray) -> np.ndarray:
        """Fractional voxel indices (..., 3) of points (..., 3) in RAS mm; the inverse of `ras_of`."""
        return (np.asarray(ras_mm) - self.ijk_to_ras[:3, 3]) @ np.linalg.inv(self.ijk_to_ras[:3, :3]).T


@dataclass(frozen=True)
class ImageSource:
    """Something `read_image` reads: a volume file, or one series of a DICOM folder."""

    path: Path
    series: str | None = None

    @property
    def name(self) -> str:
        """What the image will be called."""
        return _name_of(self.path)

    def read(self, frame: int | None = None, job: Job | None = None) -> Image:
        """See `read_image`."""
        return read_image(self.path, series=self.series, frame=frame, job=job)


def read_image(
    path: str | Path, *, series: str | None = None, frame: int | None = None, job: Job | None = None
) -> Image:
    """Read a volume and make sure that it is one.

    Args:
        path: NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr) or MetaImage (.mha, .mhd) file, a folder of DICOM files
            (searched with its subfolders), or one file of a DICOM series.
        series: the DICOM series where there are several: its SeriesInstanceUID, number in the list of the error, or
            description.
        frame: the frame, counted from 0, of a volume that has several (4D, dynamic, multi-echo).

    Returns:
        The image; integers are kept as stored unless the file asks for rescaling, which is applied.

    Raises:
        ImageError: there is no such file, it is damaged, or it is no regular, finite, non-constant 3D volume of real
            numbers.
        Cancelled: the job was cancelled.
    """
    path, job = Path(path).expanduser(), job or Job()
    if not path.exists():
        raise ImageError(named(path, _("there is no such file or folder.")))
    try:
        if extension := volumefile.extension_of(path):
            if series is not None:
                raise ImageError(
                    named(
                        path,
                        _("the option 'series' ({series}) is for DICOM; this is a {extension} file.").format(
                            series=repr(series), extension=extension
                        ),
                    )
                )
            voxels, matrix = volumefile.read_file(path, frame, job)
        else:
            voxels, matrix = _read_dicom(path, series, frame, job)
    except OSError as error:
        raise ImageError(named(path, _("cannot be opened: {reason}.").format(reason=error.strerror or error))) from None
    except MemoryError:
        raise ImageError(named(path, _("the volume does not fit into memory."))) from None
    image = Image(voxels, matrix, _name_of(path))
    require_volume(image, path)
    return image


def find_images(path: str | Path, job: Job | None = None) -> list[ImageSource]:
    """What `read_image` can read at `path`, in a fixed order.

    Args:
        path: a file, or a folder that is searched with its subfolders; symbolic links are followed once, hidden files
            are not looked at.

    Returns:
        Volume files by their extension and DICOM series by their headers (one source a series); whether they can be
        trusted shows when they are read. Empty if a folder has none.

    Raises:
        ImageError: there is no such path, or it is a file of no known kind.
    """
    path, job = Path(path).expanduser(), job or Job()
    if not path.exists():
        raise ImageError(named(path, _("there is no such file or folder.")))
    if path.is_file():
        if not volumefile.extension_of(path) and not dicom.is_dicom(path):
            raise ImageError(named(path, _not_an_image()))
        return [ImageSource(path)]
    files = _walk(path)
    volumes = [ImageSource(file) for file in files if volumefile.extension_of(file)]
    found, damaged = dicom.find_series([file for file in files if not volumefile.extension_of(file)], job)
    series = [ImageSource(s.folder, s.key) for s in found]
    return sorted(volumes + series + [ImageSource(file) for file in damaged], key=lambda source: str(source.path))


def write_image(image: Image, path: str | Path, fields: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Write an image as NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage (.mha), compressed except .nii.

    The file appears under its name only when it is complete. Boolean voxels become uint8, float16 float32.

    Args:
        fields: more for the header, which only NRRD has a place for.

    Returns:
        The path written.

    Raises:
        ImageError: another extension, or the folder cannot be written to.
    """
    path = Path(path).expanduser()
    extension = next((e for e in _WRITTEN if path.name.lower().endswith(e)), None)
    if extension is None:
        raise ImageError(
            named(path, _("unknown extension; a volume is written as {endings}.").format(endings=", ".join(_WRITTEN)))
        )
    if not path.parent.is_dir():
        raise ImageError(named(path, _("the folder {parent} does not exist.").format(parent=path.parent)))
    _check_geometry(image, path)  # none of these formats, as ITK writes them, can hold a shear
    temporary = path.with_name(f".{uuid.uuid4().hex}{extension}")
    written = to_sitk(image)
    for key, value in fields.items():
        written.SetMetaData(key, value)
    try:
        with quiet():
            sitk.WriteImage(written, file_name(temporary), useCompression=extension != ".nii")
        os.replace(temporary, path)
    except (RuntimeError, OSError) as error:
        raise ImageError(named(path, _("cannot be written: {reason}").format(reason=reason(error)))) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def require_volume(image: Image, name: str | Path) -> None:
    """Raises `ImageError`, with this name, unless the image is a regular, finite, non-constant volume."""
    _check_geometry(image, name)
    _check_voxels(image, name)


def reorient_to_ras(image: Image) -> Image:
    """The same volume with i, j, k running as nearly as they can to right, anterior, superior; see `reorient`."""
    return reorient(image, np.eye(3))


def reorient(image: Image, directions: np.ndarray) -> Image:
    """The same volume with i, j, k running as nearly as they can along other directions.

    Axes are exchanged and reversed, nothing is interpolated: the voxel at every point in space stays the same, and the
    voxels are a view of the image's.

    Args:
        directions: (3, 3) whose columns are orthogonal unit vectors in RAS, for i, j, k.
    """
    along = directions.T @ image.directions
    axes = max(permutations(range(3)), key=lambda axes: sum(abs(along[new, axis]) for new, axis in enumerate(axes)))
    voxels = image.voxels.transpose(
        [2 - axis for axis in reversed(axes)]
    )  # axis i of the volume is axis 2 of the array
    matrix = image.ijk_to_ras[:, [*axes, 3]]
    for new, axis in enumerate(axes):
        if along[new, axis] < 0:
            matrix[:, 3] += matrix[:, new] * (voxels.shape[2 - new] - 1)
            matrix[:, new] *= -1
            voxels = np.flip(voxels, 2 - new)
    return Image(voxels, matrix, image.name)


def resample(
    image: Image,
    spacing_mm: float | Sequence[float] | None = None,
    *,
    like: Image | None = None,
    interpolation: str = "linear",
    job: Job | None = None,
) -> Image:
    """The volume on another grid of voxels.

    Args:
        spacing_mm: the new distance of voxels, one number or one each for i, j, k. The new grid has the same
            directions and middle and covers the same extent (to the outer faces of the voxels), the last voxel of an
            axis reaching over it if need be.
        like: instead of a spacing, the image whose grid is taken. Points outside of `image` get its lowest value.
        interpolation: "linear", "nearest" (for labels) or "cubic" (B-spline). There is no smoothing before sampling.

    Returns:
        An image of the same name and voxel type (float16 becomes float32, bool uint8).

    Raises:
        ImageError: neither or both of `spacing_mm` and `like`, a spacing that is not positive, an unknown
            interpolation.
        Cancelled: the job was cancelled.
    """
    if (spacing_mm is None) == (like is None):
        raise ImageError(_("resample needs either spacing_mm or like, and not both."))
    if interpolation not in _INTERPOLATORS:
        raise ImageError(
            _("Unknown interpolation {interpolation}; known are {known}.").format(
                interpolation=repr(interpolation), known=", ".join(_INTERPOLATORS)
            )
        )
    if like is None:
        shape, matrix = _grid(image, spacing_mm)
    else:
        shape, matrix = like.shape, like.ijk_to_ras
    spacing, direction, origin = geometry_of(matrix)
    filter_ = sitk.ResampleImageFilter()
    filter_.SetSize([int(n) for n in shape[::-1]])
    filter_.SetOutputSpacing(spacing)
    filter_.SetOutputDirection(direction)
    filter_.SetOutputOrigin(origin)
    filter_.SetInterpolator(_INTERPOLATORS[interpolation])
    filter_.SetDefaultPixelValue(float(image.voxels.min()))
    try:
        result = execute(filter_, job or Job(), _("Resampling"), to_sitk(image))
    except RuntimeError as error:
        raise ImageError(
            _("{name} cannot be resampled: {reason}").format(name=image.name or _("the image"), reason=reason(error))
        ) from None
    return Image(array_of(result), matrix, image.name)


def to_sitk(image: Image) -> sitk.Image:
    """A SimpleITK image (LPS) with a copy of the voxels; bool becomes uint8, float16 float32."""
    narrow = {np.dtype(bool): np.uint8, np.dtype(np.float16): np.float32}
    result = sitk.GetImageFromArray(image.voxels.astype(narrow.get(image.voxels.dtype, image.voxels.dtype), copy=False))
    spacing, direction, origin = geometry_of(image.ijk_to_ras)
    result.SetSpacing(spacing)
    result.SetDirection(direction)
    result.SetOrigin(origin)
    return result


def from_sitk(image: sitk.Image, name: str = "") -> Image:
    """The image in RAS of a three-dimensional SimpleITK image (LPS), with a copy of its voxels.

    Raises:
        ImageError: not three-dimensional, or not one real number a voxel.
    """
    if image.GetDimension() != 3 or image.GetPixelIDValue() not in DTYPES:
        raise ImageError(
            named(
                name or _("SimpleITK image"),
                _(
                    "a volume has 3 dimensions and one real number a voxel; given are {dimensions} dimensions of "
                    "{kind}."
                ).format(dimensions=image.GetDimension(), kind=image.GetPixelIDTypeAsString()),
            )
        )
    return Image(sitk.GetArrayFromImage(image), ijk_to_ras_of(image), name)


def _read_dicom(path: Path, series: str | None, frame: int | None, job: Job) -> tuple[np.ndarray, np.ndarray]:
    if path.is_file() and not dicom.is_dicom(path):
        raise ImageError(named(path, _not_an_image()))
    files = _walk(path) if path.is_dir() else [path, *(file for file in path.parent.iterdir() if file.is_file())]
    found, damaged = dicom.find_series(files, job.part(0.0, 0.5))
    if damaged:
        raise ImageError(
            named(
                path,
                _("{count} damaged or truncated DICOM files: {files}; copy them again.").format(
                    count=len(damaged), files=_some(damaged)
                ),
            )
        )
    if path.is_file() and series is None:
        found = [s for s in found if any(image.path == path for image in s.slices)]
    if not found:
        volumes = [file for file in files if volumefile.extension_of(file)]
        hint = _("There are volume files, {files}: give one of them.").format(files=_some(volumes)) if volumes else ""
        raise ImageError(named(path, joined(" ", [_("no DICOM images in it."), hint])))
    return dicom.read_series(dicom.choose(found, series, path), frame, job.part(0.5, 1.0))


def _check_geometry(image: Image, path: str | Path) -> None:
    if not np.allclose(image.directions.T @ image.directions, np.eye(3), atol=1e-3):
        raise ImageError(named(path, _("the axes of its voxels are not at right angles (sheared); resample it first.")))


def _check_voxels(image: Image, path: str | Path) -> None:
    """Refuse voxels nothing can be seen in, slice by slice: no copy of the volume is made."""
    if min(image.shape) < 2:
        given = " x ".join(str(n) for n in image.shape[::-1])
        raise ImageError(
            named(
                path,
                _("the volume has {given} voxels; at least 2 slices are needed, and 2 voxels along every axis.").format(
                    given=given
                ),
            )
        )
    if image.voxels.dtype.kind == "f":
        nans = sum(int(np.count_nonzero(np.isnan(k_slice))) for k_slice in image.voxels)
        infinite = sum(int(np.count_nonzero(np.isinf(k_slice))) for k_slice in image.voxels)
        if nans or infinite:
            raise ImageError(
                named(
                    path,
                    _("of {size} voxels {nans} are NaN and {infinite} infinite; replace them by numbers first.").format(
                        size=f"{image.voxels.size:,}", nans=f"{nans:,}", infinite=f"{infinite:,}"
                    ),
                )
            )
    value = image.voxels[0, 0, 0]
    if all((k_slice == value).all() for k_slice in image.voxels):
        raise ImageError(
            named(
                path,
                _("constant volume: every voxel is {value}, so there is nothing to see in it.").format(value=value),
            )
        )


def _grid(image: Image, spacing_mm: float | Sequence[float]) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape (k, j, i) and ijk-to-RAS of the grid with this spacing that covers `image` and shares its middle."""
    try:
        spacing = np.broadcast_to(np.asarray(spacing_mm, float), 3)
    except ValueError:
        raise ImageError(
            _("spacing_mm must be one number or three, not {given}.").format(given=repr(spacing_mm))
        ) from None
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ImageError(_("spacing_mm must be positive, not {given}.").format(given=repr(spacing_mm)))
    size = np.array(image.shape[::-1])
    new_size = np.maximum(np.ceil(size * image.spacing_mm / spacing - 1e-6), 1).astype(int)
    matrix = np.eye(4)
    matrix[:3, :3] = image.directions * spacing
    matrix[:3, 3] = image.center_mm - matrix[:3, :3] @ ((new_size - 1) / 2)
    return tuple(new_size[::-1].tolist()), matrix


def _walk(folder: Path) -> list[Path]:
    """The files below a folder, sorted, hidden ones left out; a folder that links lead to again is entered once."""
    files, entered = [], set()
    for current, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(current)) in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(current, name) for name in sorted(names) if not name.startswith(".")]
    return [file for file in files if file.is_file()]


def _name_of(path: Path) -> str:
    """The stem of a volume file; for DICOM, whose files are named anyhow, the folder's name."""
    path = Path(os.path.abspath(path))
    if extension := volumefile.extension_of(path):
        return path.name[: -len(extension)]
    return (path.parent if path.is_file() else path).name


def _not_an_image() -> str:
    return _("not a volume that can be read. Give a file that ends in {endings}, or DICOM.").format(
        endings=", ".join(volumefile.READERS)
    )


def _some(files: Sequence[Path]) -> str:
    """The names of the first few files."""
    return ", ".join(file.name for file in files[:3]) + ", ..." * (len(files) > 3)
