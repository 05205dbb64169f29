"""A file is replaced whole or not at all."""

import pytest
from SlicerHPOLib.files import replacing


def test_the_new_content_takes_the_place_of_the_old_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path, exception):
    path = tmp_path / "f.txt"
    path.write_text("old")
    with pytest.raises(exception), replacing(path) as temporary:
        temporary.write_text("half")
        raise exception
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "f")
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "f").read_text() == "new"
