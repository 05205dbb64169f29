import pytest
from SlicerHPOLib.fieldofview.network import Architecture, build, weight_count

from training.search.space import Space
from training.search.spaces import digits_600, table_2_4, table_2_7


def test_the_spaces_have_the_sizes_of_the_source():
    assert (table_2_7().size, table_2_7(learning_rates=7).size, table_2_4().size) == (39_200, 34_300, 19_200)
    assert digits_600().size == len(digits_600().enumerate()) == 600


def test_seven_learning_rates_lack_the_smallest_of_eight():
    eight, seven = ({c["learning_rate"] for c in table_2_7(n).enumerate()} for n in (8, 7))
    assert eight - seven == {min(eight)}


@pytest.mark.parametrize(
    ("weights", "network"),
    [
        (6_713_226, {"blocks": 5, "layers": 1, "filters": 64, "kernel": 3, "separable": False}),
        (5_468_778, {"blocks": 5, "layers": 2, "filters": 32, "kernel": 3, "separable": False}),
        (13_927_114, {"blocks": 4, "layers": 3, "filters": 64, "kernel": 3, "separable": True}),
    ],
)
def test_the_networks_with_printed_weights_are_in_the_space(weights, network):
    configuration = network | {"batch": 32, "learning_rate": 1e-3}
    table_2_7().check(configuration)
    assert weight_count(build(Architecture(**network))) == weights


def test_other_numbers_of_learning_rates_are_refused():
    with pytest.raises(ValueError, match="has 8"):
        table_2_7(9)


def test_the_spaces_are_kept_as_json():
    for space in (table_2_4(), table_2_7(), digits_600()):
        assert Space.from_json(space.as_json()) == space
