"""Locks wait and say for whom; they are free once their holder is gone."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from rowgraph.locks import LockError, held

HOLD = """
import sys, time
from pathlib import Path
from rowgraph.locks import held
with held(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path / "lock"`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_lock_is_free_once_its_holder_is_killed_and_the_wait_names_it(tmp_path, holder, caplog):
    def kill_the_holder(*_):
        holder.kill()

    signal.signal(signal.SIGALRM, kill_the_holder)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    with held(tmp_path / "lock", "the device cpu"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert f"the device cpu is in use by process {holder.pid}" in caplog.text


def test_a_wait_ends_at_a_signal(tmp_path, holder):
    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.3)
    with pytest.raises(KeyboardInterrupt), held(tmp_path / "lock", "it"):
        pass
    assert holder.poll() is None


def test_a_file_system_without_locks_is_named_with_the_next_move(tmp_path, monkeypatch):
    def lacking(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("rowgraph.locks.fcntl.flock", lacking)
    with pytest.raises(LockError, match=r"lock: this file system has no locks.*ROWGRAPH_HOME"), \
            held(tmp_path / "lock", "it"):
        pass
