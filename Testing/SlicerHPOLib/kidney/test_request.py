"""What may be asked of a segmenter by name."""

import pytest
from SlicerHPOLib.kidney.request import AUTO, METHODS, POPULATIONS, why_not


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_all_but_the_classical_method_take_any_population(method, population):
    assert bool(why_not(method, population)) == (method == "classical" and population != AUTO)


@pytest.mark.parametrize(
    ("method", "population", "words"),
    [
        ("magic", "auto", "Unknown method 'magic'; known are deformation, unet, classical."),
        ("unet", "elderly", "Unknown population 'elderly'; known are auto, adult, child."),
        ("unet", None, "Unknown population None"),
        ("classical", "child", "leave the population at 'auto'"),
    ],
)
def test_what_cannot_be_asked_for_is_said_with_what_can(method, population, words):
    assert words in why_not(method, population)
