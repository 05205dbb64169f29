"""A volume node and an answer for it, made up without a network: regions of equal length, from the feet up."""

import numpy as np


def a_volume(scene=None, name="scan", tilt_degrees=0.0, left_handed=False):
    """10 x 12 x 60 voxels of 4 x 4 x 5 mm whose middle is at S = 50 mm; its k axis leans from S towards A."""
    from SlicerHPOLib.image import Image
    from SlicerHPOLib.mrml.volumes import volume_node_of

    voxels = np.arange(60 * 12 * 10, dtype=np.int16).reshape(60, 12, 10)
    c, s = np.cos(np.radians(tilt_degrees)), np.sin(np.radians(tilt_degrees))
    matrix = np.array([[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0], [0, 0, 0, 1.0]]) @ np.diag([4.0, 4.0, 5.0, 1.0])
    if left_handed:
        matrix = matrix @ np.diag([-1.0, 1, 1, 1])
    matrix[:3, 3] = np.array([0, 0, 50.0]) - matrix[:3, :3] @ ((np.array([10, 12, 60]) - 1) / 2)
    return volume_node_of(Image(voxels, matrix), name)


def a_classification(volume_node, shown=("pelvis", "abdomen", "chest")):
    """What the network could have read off `a_volume`: 60 slices of 5 mm from S = -97.5 mm, all with tissue."""
    from SlicerHPOLib.fieldofview.classification import Classification, ClassifiedSlices
    from SlicerHPOLib.fieldofview.regions import CLASSES, DecisionModel
    from SlicerHPOLib.mrml.volumes import unchecked_image_of

    labels = np.repeat([CLASSES.index(name) for name in shown], 60 // len(shown))
    probabilities = np.full((60, len(CLASSES)), 0.02)
    probabilities[np.arange(60), labels] = 0.9
    positions = -97.5 + 5.0 * np.arange(60)
    read = ClassifiedSlices(positions, np.ones(60, bool), probabilities, DecisionModel(min_length_mm=20), "scan")
    return Classification(read, unchecked_image_of(volume_node).ijk_to_ras, "mr-field-of-view", "0123", {})
