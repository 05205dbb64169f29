"""Volume files: what their header says is checked, then ITK reads them.

ITK's readers repair silently what must not be guessed: a truncated NIfTI file is filled with zeros, a damaged
compressed MetaImage with garbage, a spacing of zero becomes 1 mm, a negative one an axis that is flipped. And a header
may name any file as its data. The few fields that tell are read here first, and what must not be read is refused with
an `ImageError`.

Formats: NIfTI-1 (https://nifti.nimh.nih.gov/nifti-1), NRRD (https://teem.sourceforge.net/nrrd/format.html), MetaImage
(https://itk.org/Wiki/ITK/MetaIO/Documentation).
"""

from __future__ import annotations

import gzip
import math
import ntpath
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk  # noqa: N813

from .itk import DTYPES, ImageError, array_of, chosen_frame, execute, file_name, ijk_to_ras_of, quiet, reason
from .job import Job
from .words import _, joined, named

READERS = {  # extension -> ITK's reader
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}

_CHUNK = 1 << 20  # bytes read at once
_HEADER_LIMIT = 1 << 20  # no text header is longer

# NIfTI-1 datatype code -> bytes a voxel; complex and RGB (second line) are refused later by name
_NIFTI_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
_NIFTI_BYTES |= {32: 8, 1792: 16, 128: 3, 2304: 4}
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}


def extension_of(path: Path) -> str | None:
    """The extension, in lower case, by which `path` is a volume file; None if it is none."""
    return next((e for e in READERS if path.name.lower().endswith(e)), None) if path.is_file() else None


def read_file(path: Path, frame: int | None, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Read a volume file.

    Args:
        frame: which frame, counted from 0, of a file of more than three dimensions; else None or 0.

    Returns:
        The voxels (k, j, i) and the (4, 4) matrix from voxel index (i, j, k) to RAS mm.

    Raises:
        ImageError: not such a file, damaged, or no 3D volume of real numbers.
    """
    check_header(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[extension_of(path)])
    reader.SetFileName(file_name(path))
    try:
        with quiet():
            reader.ReadImageInformation()
        if reader.GetPixelIDValue() not in DTYPES:
            kind, numbers = sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()), reader.GetNumberOfComponents()
            raise ImageError(
                named(
                    path,
                    _("its voxels are {kind} ({numbers} numbers each); a volume has one real number a voxel.").format(
                        kind=kind, numbers=numbers
                    ),
                )
            )
        size = reader.GetSize()
        if len(size) < 3:
            given = " x ".join(str(n) for n in size)
            raise ImageError(
                named(
                    path, _("a single slice of {given} pixels; a volume needs at least 2 slices.").format(given=given)
                )
            )
        further = size[3:]  # dimensions: time, echo, ...
        chosen = chosen_frame(frame, math.prod(further), named(path, " x ".join(str(n) for n in size)))
        if further:
            reader.SetExtractSize([*size[:3], *[0] * len(further)])
            reader.SetExtractIndex([0, 0, 0, *(int(n) for n in np.unravel_index(chosen, further, order="F"))])
        image = execute(reader, job, _("Reading {name}").format(name=path.name))
    except RuntimeError as error:
        text = reason(error)
        if "orthonormal" in text or "determinant" in text:
            text = _("the axes of its voxels are degenerate or not at right angles (sheared); resample it first.")
        elif "_nrrdEncoding" in text:
            text = _("its voxels are truncated or damaged ({why}); copy it again.").format(why=text.split(": ")[-1])
        raise ImageError(named(path, _("cannot be read: {text}").format(text=text))) from None
    matrix = ijk_to_ras_of(image)
    return array_of(image), matrix


def check_header(path: Path) -> None:
    """Raise `ImageError` if the volume file `path` must not be given to ITK."""
    if path.stat().st_size == 0:
        raise ImageError(named(path, _("the file is empty.")))
    check = {"NiftiImageIO": _check_nifti, "NrrdImageIO": _check_nrrd, "MetaImageIO": _check_metaimage}
    check[READERS[extension_of(path)]](path)


def _check_nifti(path: Path) -> None:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    if compressed and path.suffix.lower() != ".gz":
        raise ImageError(named(path, _("the file is compressed; rename it to end in .nii.gz.")))
    with gzip.open(path, "rb") if compressed else path.open("rb") as file:
        try:
            header = file.read(348)
            needed = _check_nifti_fields(path, header)
            size = len(header) + _bytes_left(file) if compressed else path.stat().st_size
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ImageError(
                named(
                    path, _("the compressed file is truncated or damaged ({error}); copy it again.").format(error=error)
                )
            ) from None
    _check_size(path, needed, size)


def _check_nifti_fields(path: Path, header: bytes) -> int:
    """Check a NIfTI-1 header; returns how many bytes the uncompressed file must have."""
    if len(header) < 348:
        raise ImageError(
            named(
                path,
                _("truncated: {length} bytes are too few for a NIfTI header, which has 348.").format(
                    length=len(header)
                ),
            )
        )
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", header)[0] in (348, 540)), None)
    if order is not None and struct.unpack_from(f"{order}i", header)[0] == 540:
        raise ImageError(
            named(path, _("a NIfTI-2 file; only NIfTI-1 can be read. Convert it, for example with nibabel."))
        )
    if order is None or header[344:348] != b"n+1\0":
        raise ImageError(
            named(path, _("not a NIfTI file: its header has neither the size nor the magic word of NIfTI-1."))
        )

    def field(kind: str, offset: int) -> tuple:
        return struct.unpack_from(order + kind, header, offset)

    dimensions, (datatype,), pixdim = field("8h", 40), field("h", 70), field("8f", 76)
    (offset, slope, intercept), (qform_code, sform_code) = field("3f", 108), field("2h", 252)
    quaternion, sform = field("6f", 256), np.reshape(field("12f", 280), (3, 4))
    extent = dimensions[1 : 1 + dimensions[0]]
    if not 1 <= dimensions[0] <= 7 or min(extent) < 1:
        raise ImageError(
            named(path, _("the NIfTI header gives impossible dimensions {dimensions}.").format(dimensions=dimensions))
        )
    if datatype not in _NIFTI_BYTES:
        raise ImageError(
            named(
                path,
                _("voxels of NIfTI data type {datatype} cannot be read; convert them to integers or float.").format(
                    datatype=datatype
                ),
            )
        )
    _check_spacing(path, pixdim[1 : 1 + min(dimensions[0], 3)], "pixdim")
    if not (math.isnan(intercept) or intercept == 0) and (slope == 0 or not math.isfinite(slope)):
        raise ImageError(
            named(
                path,
                _(
                    "contradictory rescaling: scl_slope {slope} says there is none, scl_inter is {intercept}. Correct "
                    "the header."
                ).format(slope=f"{slope:g}", intercept=f"{intercept:g}"),
            )
        )
    if (sform_code > 0 and not np.isfinite(sform).all()) or (qform_code > 0 and not np.isfinite(quaternion).all()):
        raise ImageError(
            named(path, _("the sform or qform of the NIfTI header has values that are not finite numbers."))
        )
    if sform_code == 1 or (sform_code > 0 and qform_code == 0):  # ITK's rule: else it takes the qform
        _check_sform_scale(path, sform[:, :3], pixdim[1:4])
    if not (math.isfinite(offset) and offset >= 348):
        raise ImageError(
            named(path, _("the NIfTI header gives an impossible vox_offset of {offset}.").format(offset=f"{offset:g}"))
        )
    return int(offset) + math.prod(extent) * _NIFTI_BYTES[datatype]


def _check_sform_scale(path: Path, matrix: np.ndarray, pixdim: Sequence[float]) -> None:
    """Refuse an sform whose voxel size is not pixdim: ITK mixes the two, other software takes the sform."""
    scale = np.linalg.norm(matrix, axis=0)
    if (scale == 0).any():
        raise ImageError(
            named(path, _("degenerate sform: a column of its direction matrix is zero, so voxels have no place."))
        )
    cosines = (matrix / scale).T @ (matrix / scale)
    is_orthogonal = np.abs(cosines - np.eye(3)).max() < 1e-3  # ITK leaves a sheared sform for the qform, or refuses it
    if is_orthogonal and not np.allclose(scale, pixdim, rtol=1e-3):
        given, expected = " x ".join(f"{s:g}" for s in pixdim), " x ".join(f"{s:g}" for s in scale)
        raise ImageError(
            named(
                path,
                _("contradictory spacing: pixdim says {given} mm, the sform {expected} mm. Correct the header.").format(
                    given=given, expected=expected
                ),
            )
        )


def _check_nrrd(path: Path) -> None:
    lines = _header_lines(path, is_last=lambda line: not line.strip())
    if not lines[0].startswith("NRRD000"):
        raise ImageError(named(path, _("not a NRRD file: it does not begin with NRRD000x.")))
    fields = {
        key.strip().lower(): value.strip()
        for key, separator, value in (line.partition(":") for line in lines[1:])
        if separator and not key.startswith("#") and not value.startswith("=")
    }
    if "space directions" in fields:
        vectors = fields["space directions"].count("(")
        if vectors < 3:
            raise ImageError(
                named(path, _("'space directions' has {vectors} vectors; a volume needs 3.").format(vectors=vectors))
            )
    elif "spacings" in fields:
        _check_spacing(path, _numbers(path, fields["spacings"], "spacings")[:3], "spacings")
    else:
        raise ImageError(
            named(path, _("no voxel spacing: the NRRD header has neither 'space directions' nor 'spacings'."))
        )
    data = fields.get("data file", fields.get("datafile"))
    file, start = (path, _length(lines)) if data is None else (_data_file(path, data), 0)
    is_compressed = fields.get("encoding", "").lower() in ("gz", "gzip")
    if is_compressed and not any(fields.get(skip, "0").strip("0") for skip in ("line skip", "byte skip")):
        _inflated_bytes(
            file, start
        )  # teem, which reads for ITK, notices if voxels are missing, but not a wrong checksum


def _check_metaimage(path: Path) -> None:
    lines = _header_lines(path, is_last=lambda line: line.split("=")[0].strip() == "ElementDataFile")
    fields = {key.strip(): value.strip() for key, _equals, value in (line.partition("=") for line in lines)}
    if missing := [key for key in ("DimSize", "ElementType", "ElementDataFile") if key not in fields]:
        raise ImageError(
            named(
                path,
                _("not a MetaImage file: its header has no {missing}.").format(missing=joined(_(" and no "), missing)),
            )
        )
    spacing = fields.get("ElementSpacing", fields.get("ElementSize"))
    if spacing is None:
        raise ImageError(named(path, _("no voxel spacing: the MetaImage header has no ElementSpacing.")))
    _check_spacing(path, _numbers(path, spacing, "ElementSpacing")[:3], "ElementSpacing")

    kind = fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY").replace("UCHAR", "CHAR").removeprefix("U")
    if kind not in _META_BYTES:
        raise ImageError(
            named(path, _("voxels of ElementType {kind} cannot be read.").format(kind=fields["ElementType"]))
        )
    extent = _numbers(path, fields["DimSize"], "DimSize")
    if min(extent, default=0) < 1:
        raise ImageError(
            named(
                path,
                _("the MetaImage header gives impossible dimensions {dimensions}.").format(
                    dimensions=repr(fields["DimSize"])
                ),
            )
        )
    channels = _numbers(path, fields.get("ElementNumberOfChannels", "1"), "ElementNumberOfChannels")[0]
    needed = int(math.prod(extent) * channels) * _META_BYTES[kind]

    is_local = fields["ElementDataFile"].upper() == "LOCAL"
    data = path if is_local else _data_file(path, fields["ElementDataFile"])
    start = _length(lines) if is_local else 0
    if fields.get("BinaryData", "True")[:1].lower() != "t":
        raise ImageError(named(path, _("its voxels are written as text; write them binary (BinaryData = True).")))
    if fields.get("CompressedData", "False")[:1].lower() == "t":
        _check_size(path, needed, _inflated_bytes(data, start))
    else:
        skipped = _numbers(path, fields.get("HeaderSize", "0"), "HeaderSize")[0]
        _check_size(path, needed, data.stat().st_size - start - max(int(skipped), 0))


def _check_spacing(path: Path, spacing: Sequence[float], field: str) -> None:
    if not all(math.isfinite(s) and s > 0 for s in spacing):
        given = " x ".join(f"{s:g}" for s in spacing)
        raise ImageError(
            named(
                path,
                _("voxel spacing must be positive numbers of mm; {field} in its header is {given}.").format(
                    field=field, given=given
                ),
            )
        )


def _check_size(path: Path, needed: int, size: int) -> None:
    if size < needed:
        raise ImageError(
            named(
                path,
                _("truncated: its header announces {needed} bytes, only {size} are there. Copy it again.").format(
                    needed=f"{needed:,}", size=f"{size:,}"
                ),
            )
        )


def _header_lines(path: Path, is_last) -> list[str]:
    """The lines of a text header, as far as the first for which `is_last`, or as the file goes."""
    lines, length = [], 0
    with path.open("rb") as file:
        while length < _HEADER_LIMIT and (line := file.readline(_HEADER_LIMIT)):
            lines.append(line.decode("utf-8", "surrogateescape"))
            length += len(line)
            if is_last(lines[-1]):
                break
    return lines


def _length(lines: Sequence[str]) -> int:
    return sum(len(line.encode("utf-8", "surrogateescape")) for line in lines)


def _numbers(path: Path, text: str, field: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        raise ImageError(
            named(path, _("{field} in its header should be numbers, not {text}.").format(field=field, text=repr(text)))
        ) from None


def _data_file(path: Path, name: str) -> Path:
    """The one file, in the header's folder or below, that a detached header names as its data.

    A volume comes from anywhere, and must not make us read any file of the user's: absolute names and ".." out are
    refused. A symbolic link inside the folder is the user's own doing and allowed.
    """
    if name.upper().startswith("LIST") or "%" in name:
        raise ImageError(
            named(
                path,
                _("its voxels are spread over several files ({name}); convert it to one file first.").format(name=name),
            )
        )
    inside = os.path.normpath(name.replace("\\", "/"))
    if os.path.isabs(inside) or ntpath.splitdrive(name)[0] or inside.split(os.sep)[0] == os.pardir:
        raise ImageError(
            named(
                path,
                _("its header names the data file {name}, outside the header's folder; that is not followed.").format(
                    name=repr(name)
                ),
            )
        )
    if not (path.parent / inside).is_file():
        raise ImageError(
            named(path, _("its data file {name} is missing; it belongs in the same folder.").format(name=repr(name)))
        )
    return path.parent / inside


def _bytes_left(file: BinaryIO) -> int:
    """How many bytes `file` still gives; a gzip file checks its own checksum on the way."""
    return sum(len(chunk) for chunk in iter(lambda: file.read(_CHUNK), b""))


def _inflated_bytes(path: Path, start: int) -> int:
    """How many bytes the zlib or gzip stream that begins at `start` of a file holds."""
    inflater, size = zlib.decompressobj(wbits=47), 0
    with path.open("rb") as file:
        file.seek(start)
        try:
            while not inflater.eof and (chunk := file.read(_CHUNK // 16)):  # small: zeros inflate a thousandfold
                size += len(inflater.decompress(chunk))
        except zlib.error as error:
            raise ImageError(
                named(path, _("its compressed voxels are damaged ({error}); copy it again.").format(error=error))
            ) from None
    if not inflater.eof:
        raise ImageError(named(path, _("truncated: its compressed voxels end too early. Copy it again.")))
    return size
