import re
from html.parser import HTMLParser

import numpy as np
import pytest

from training.__main__ import main
from training.search.method import Observation
from training.search.report import Record
from training.search.report_page import summary, write_report
from training.search.space import Categorical, Continuous, Integer, Space
from training.search.study import Study

from .test_report import METHODS, TABLE, observed, replayed


class Page(HTMLParser):
    """Titles, table rows, pictures and links of a page; raises where a tag is not closed in its order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.links, self.cells, self.titles = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in ("img", "meta"):
            self.open.append(tag)
        self.images += [value for name, value in attributes if name == "src"]
        self.links += [value for name, value in attributes if name == "href"]
        assert tag not in ("script", "link", "iframe")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


def page(paths):
    return Page(paths[0].read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", METHODS)
def test_every_figure_of_a_search_is_on_the_page_and_in_the_folder(tmp_path, kind):
    record = replayed(METHODS[kind](), 10)
    paths = write_report(record, tmp_path / "new" / "report")
    names = ["progress", "parallel", "importance", "predicted"] + ["rungs"] * (kind == "combination")
    assert [path.name for path in paths] == ["report.html", *(f"{name}.png" for name in names)]
    assert all(path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 8000 for path in paths[1:])
    found = page(paths)
    assert len(found.images) == len(names) and all(image.startswith("data:image/png;base64,") for image in found.images)
    assert not found.links and ("Rungs" in found.titles) == (kind == "combination")
    best = record.best[0]
    assert f"{best.loss:.4g}" in found.cells and str(best.configuration["optimiser"]) in found.cells


def test_failures_are_listed_with_their_reasons_as_text(tmp_path):
    record = observed([1.0, 2.0, 3.0, 5.0, 4.0], failed=[3])
    told = list(record.observations)
    told[1] = Observation(told[1].configuration, 1, None, reason="<b>out of & memory</b>")
    record = Record("<s>", record.space, {}, tuple(told), np.array([0, 2, 4]), record.elapsed_s)
    found = page(write_report(record, tmp_path))
    assert {"<b>out of & memory</b>", "unknown"} <= set(found.cells)
    assert "3 to the end, 2 failed" in summary(record)


def test_one_training_makes_a_page_that_says_what_is_missing(tmp_path):
    paths = write_report(observed([0.5]), tmp_path)
    assert [path.name for path in paths] == ["report.html", "progress.png"]
    for needed in ("4", "two"):
        assert f"Needs {needed} full trainings with different losses; there are 1." in paths[0].read_text()


def test_if_nothing_but_failures_came_the_page_says_so(tmp_path):
    paths = write_report(observed([1.0, 2.0], failed=[0, 1]), tmp_path)
    assert len(paths) == 1 and page(paths).cells.count("unknown") == 3  # once as a reason, twice in the list
    assert "No training has come to its end." in paths[0].read_text()


def test_figures_of_another_report_do_not_stay(tmp_path):
    write_report(observed([3.0, 2.0, 1.0, 0.5], resources=[3] * 4), tmp_path)
    assert (tmp_path / "predicted.png").exists()
    write_report(observed([0.5]), tmp_path)
    assert not (tmp_path / "predicted.png").exists()


def test_conditional_and_unordered_parameters_and_losses_below_zero_are_drawn(tmp_path):
    space = Space(
        (
            Continuous("rate", 1e-5, 1, log=True),
            Categorical("kind", (None, "b", True)),
            Integer("depth", 1, 40, only_if=("kind", ("b",))),
        )
    )
    rng = np.random.default_rng(0)
    told = tuple(Observation(c, n, rng.normal()) for n, c in enumerate(space.sample(rng, 12)))
    paths = write_report(Record("s", space, {}, told, np.arange(12), np.arange(12) * 3600.0), tmp_path)
    assert {"progress.png", "parallel.png", "predicted.png"} <= {path.name for path in paths}


def test_the_command_writes_the_report_of_a_study(tmp_path, capsys):
    study = Study(tmp_path / "s.log", "s", TABLE.space, METHODS["random"](), {"seed": 1})
    study.run(lambda s: TABLE.train(s).loss, 6)
    assert main(["report", str(tmp_path / "s.log"), "--out", str(tmp_path / "report")]) == 0
    assert "6 trainings of 6 configurations; 6 to the end" in capsys.readouterr().out
    assert re.search(r"&quot;seed&quot;: 1", (tmp_path / "report" / "report.html").read_text())
    assert main(["report", str(tmp_path / "t.log"), "--out", str(tmp_path / "none")]) == 2
    assert "There is no file" in capsys.readouterr().err and not (tmp_path / "none").exists()
