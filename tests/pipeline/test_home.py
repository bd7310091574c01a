"""A home that cannot be used is one line with the next move."""

import errno

import pytest

from pipeline.home import HomeError, make_home


def test_a_home_is_made_and_nothing_is_left_of_trying_it(tmp_path):
    make_home(tmp_path / "a/home")
    assert list((tmp_path / "a/home").iterdir()) == []


def test_a_home_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match=r"home: cannot be written .*ROWGRAPH_HOME"):
        make_home(tmp_path / "home")


@pytest.mark.parametrize(("number", "says"), [
    (errno.EROFS, "cannot be written .Read-only file system"),
    (errno.EACCES, "cannot be written .Permission denied"),
    (errno.ENOSPC, "the disk is full .* free"),
])
def test_a_home_that_cannot_be_written_says_why(tmp_path, monkeypatch, number, says):
    def refuse(*_, **__):
        raise OSError(number, "no")

    monkeypatch.setattr("pipeline.home.tempfile.TemporaryDirectory", refuse)
    with pytest.raises(HomeError, match=f"{says}.*ROWGRAPH_HOME"):
        make_home(tmp_path)


def test_a_home_without_locks_says_so(tmp_path, monkeypatch):
    def lacking(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("rowgraph.locks.fcntl.flock", lacking)
    with pytest.raises(HomeError, match=r"has no locks.*local disk"):
        make_home(tmp_path)
