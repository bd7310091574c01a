"""Which code runs: a commit, whether it was changed since, and nothing where there is no git."""

import shutil
import subprocess

import pytest

from resources.provenance import code_facts, code_in_words


def git(folder, *words):
    subprocess.run(["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b.org", *words],
                   check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "rowgraph").mkdir()
    (tmp_path / "rowgraph" / "a.py").write_text("A = 1\n")
    (tmp_path / "README.md").write_text("hello\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    code_facts.cache_clear()
    return tmp_path


def change(path):
    path.write_text("changed\n")
    code_facts.cache_clear()


def test_a_clean_checkout_is_its_commit(checkout):
    facts = code_facts(checkout)
    assert len(facts["commit"]) == 40
    assert facts["dirty"] is False
    assert code_in_words(facts) == facts["commit"][:12]


@pytest.mark.parametrize("name", ["rowgraph/a.py", "rowgraph/new.py"])
def test_changed_and_new_files_of_the_code_are_dirty(checkout, name):
    change(checkout / name)
    facts = code_facts(checkout)
    assert facts["dirty"] is True
    assert "not committed" in code_in_words(facts)


def test_what_is_no_code_does_not_make_it_dirty(checkout):
    change(checkout / "README.md")
    assert code_facts(checkout)["dirty"] is False


def test_git_is_asked_once_a_process(checkout, monkeypatch):
    first = code_facts(checkout)
    monkeypatch.setattr("subprocess.run", None)
    assert code_facts(checkout) == first


def test_a_copy_within_another_checkout_has_no_commit(checkout):
    facts = code_facts(checkout / "rowgraph")
    assert facts["commit"] is None
    assert facts["dirty"] is None
    assert "no git commit" in code_in_words(facts)


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert code_facts(checkout)["commit"] is None
