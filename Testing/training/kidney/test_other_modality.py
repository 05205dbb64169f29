import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from SlicerHPOLib.image import Image

from training.kidney.dataset import EMPTY, load
from training.kidney.other_modality import cut, simulate


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.tuples(*[st.integers(2, 40)] * 3), st.tuples(*[st.floats(0.5, 8)] * 3))
def test_a_box_that_is_cut_out_stays_where_it_was(seed, shape, spacing):
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = (5, -7, 9)
    image = Image(np.arange(np.prod(shape)).reshape(shape), matrix)
    box = cut(image, np.random.default_rng(seed))
    corner = np.rint(image.ijk_of(box.ras_of(np.zeros(3)))).astype(int)[::-1]
    whole = tuple(slice(start, start + count) for start, count in zip(corner, box.shape, strict=True))
    np.testing.assert_array_equal(image.voxels[whole], box.voxels)
    assert min(box.shape) >= 2


def test_volumes_of_another_modality_show_no_kidney_and_are_the_same_again(tmp_path):
    one, two = (load(simulate(tmp_path / name, volumes=2, size=32, seed=4, workers=1)) for name in ("one", "two"))
    assert (one.population == EMPTY).all() and (one.distances == -127).all()
    assert one.images.shape == (2, 32, 32, 32) and one.images.reshape(2, -1).std(1).min() > 5
    np.testing.assert_array_equal(one.images, two.images)
