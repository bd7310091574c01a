"""An interruption takes effect wherever it arrives."""

import signal
import sys
import time
import weakref

import pytest

from resources.interrupts import deferred, heeded


class Thing:
    """Something that can be collected."""


def interrupted_while_collected() -> None:
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    assert reference() is None
    time.sleep(2)


@pytest.fixture(autouse=True)
def heard():
    """SIGINT is heard, also where the suite runs in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def unraisable(monkeypatch):
    """Types of the exceptions that Python could not pass on."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: found.append(lost.exc_type))
    return found


def test_python_alone_loses_an_interruption_that_arrives_in_a_callback(unraisable):
    interrupted_while_collected()
    assert unraisable == [KeyboardInterrupt]


def test_it_is_asked_for_again_and_ends_what_goes_on_meanwhile(unraisable):
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), heeded():
        interrupted_while_collected()
    assert time.monotonic() - started < 1
    assert not unraisable


def test_other_errors_in_callbacks_are_printed_as_ever(unraisable):
    thing = Thing()
    with heeded():
        reference = weakref.ref(thing, lambda _: 1 / 0)
        del thing
        assert reference() is None
    assert unraisable == [ZeroDivisionError]


def test_what_is_over_is_not_interrupted_afterwards():
    with heeded():
        thing = Thing()
        reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
        assert reference() is None
    time.sleep(0.5)


def interrupted_in_the_middle(done):
    with deferred():
        signal.raise_signal(signal.SIGINT)
        done.append("whole")
    done.append("never")


def test_an_interruption_in_the_middle_of_what_must_be_whole_is_raised_at_its_end():
    done = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_in_the_middle(done)
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_is_raised_where_nothing_came():
    with deferred():
        pass
