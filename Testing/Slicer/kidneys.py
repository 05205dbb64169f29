"""A volume with an ellipsoid in it, and what a method that makes no mistakes finds there."""

import numpy as np
from scipy.spatial.transform import Rotation

SEMI_AXES_MM = np.array([20.0, 16.0, 36.0])
OFFSET_MM = np.array([4.0, -3.0, 2.0])  # from the volume's middle, along its own axes


def distance(offsets_mm):
    """About the signed distance (mm, positive inside) to the ellipsoid at offsets (..., 3) from its centre."""
    scaled = np.linalg.norm(offsets_mm / SEMI_AXES_MM, axis=-1)
    gradient = np.linalg.norm(offsets_mm / SEMI_AXES_MM**2, axis=-1) / np.maximum(scaled, 1e-9)
    return np.where(scaled > 0.2, (1 - scaled) / np.maximum(gradient, 1 / 40), 12.0)


def matrix_of(turn=(0.0, 0, 0), spacing_mm=(2.5, 2.5, 3.0), middle_mm=(10.0, -20, 30), shape=(46, 40, 44)):
    """(4, 4) ijk to RAS of a volume of this shape (k, j, i)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix() * spacing_mm
    matrix[:3, 3] = middle_mm - matrix[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return matrix


def volume(matrix=None, shape=(46, 40, 44)):
    """An Image of the ellipsoid, 100 inside and 20 outside, in a frame of axes turned with it."""
    from SlicerHPOLib.image import Image, reorient_to_ras

    image = Image(np.zeros(shape, np.uint8), matrix_of(shape=shape) if matrix is None else matrix, "scan")
    axes = reorient_to_ras(image).directions
    at = image.ras_of(np.moveaxis(np.indices(shape)[::-1], 0, -1))
    inside = distance((at - image.center_mm) @ axes - OFFSET_MM) > 0
    return Image(np.where(inside, 100, 20).astype(np.uint8), image.ijk_to_ras, "scan")


def found_in(image, size=40, **changes):
    """The FoundKidney of such an image, on a grid of 4 mm."""
    from SlicerHPOLib.kidney.grid import working_grid
    from SlicerHPOLib.kidney.session import FoundKidney

    grid = working_grid(image, 4.0 * 40 / size, size)
    at = grid.ras_of(np.moveaxis(np.indices(grid.shape), 0, -1)) - image.center_mm
    phi = distance(at @ (grid.ijk_to_ras[:3, :3] / grid.spacing_mm) - OFFSET_MM).astype(np.float32)
    modes = 2 * np.tanh(at[..., 0] / 20)[None].astype(np.float32)
    return FoundKidney(
        **dict(image=image, grid=grid, method="deformation", phi=phi, confidence=0.93, least_jacobian=0.4, note=None)
        | dict(modes=modes)
        | changes
    )


def centre_of(image):
    """(3,) RAS mm of the ellipsoid's centre."""
    from SlicerHPOLib.image import reorient_to_ras

    return image.center_mm + reorient_to_ras(image).directions @ OFFSET_MM


class TaskAtHand:
    """In the place of `background.BackgroundTask`: no process, and it ends when the test says so.

    Attributes of the class, set by the test:
        waits: whether it runs until `let_go`. error: what it ends with. warnings, changes: of the answer.
        started: the requests so far.
    """

    def __init__(self):
        self.status = self.request = None

    @classmethod
    def reset(cls):
        cls.waits, cls.error, cls.warnings, cls.changes, cls.started = False, None, (), {}, []

    def start(self, request):
        from SlicerHPOLib.background import Status

        self.request, self.status = request, Status("running", 0.4, "finding the kidney")
        self.started.append(request)

    def poll(self):
        from SlicerHPOLib.background import Status

        if self.status.state == "running" and not self.waits:
            self.status = Status("failed", 0.0, str(self.error)) if self.error else Status("done", 1.0)
        return self.status

    def wait(self, job):
        while self.poll().state == "running":
            job.progress(0.4, "finding the kidney")
        return self.answer()

    def cancel(self):
        from SlicerHPOLib.background import Status

        if self.status.state == "running":
            self.status = Status("cancelled")

    def answer(self):
        from SlicerHPOLib.worker import Answer

        if self.error:
            raise self.error
        method = self.request.options["method"]
        found = found_in(self.request.image, **dict(method=method) | self.changes)
        return Answer(found.description, found.arrays, self.warnings)
