"""The flight recorder: a note outlives the process that wrote it."""

from __future__ import annotations

import os
import signal

from poe_proxy.flight import Flight, Note, Recorder

FLIGHT = Flight("req_1", "POST /v1/chat/completions", "abc")


def test_the_last_note_counts() -> None:
    """Each note takes the place of the one before; None clears it."""
    recorder = Recorder()
    notes = [recorder.read()]
    for note in (Note("reading", FLIGHT), Note("checking", None), None):
        recorder.write(note)
        notes.append(recorder.read())

    assert [None, Note("reading", FLIGHT), Note("checking", None), None] == notes


def test_a_killed_process_leaves_its_note() -> None:
    """What a forked process noted is there when it was killed with the hardest signal."""
    recorder = Recorder()
    if not (child := os.fork()):
        recorder.write(Note("reading", FLIGHT))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)

    assert Note("reading", FLIGHT) == recorder.read()


def test_a_torn_note_is_none() -> None:
    """A kill in the middle of a note leaves nothing that could be misread."""
    recorder = Recorder()
    recorder.write(Note("reading", FLIGHT))
    recorder._memory[2:4] = b"]]"

    assert recorder.read() is None


def test_a_note_that_is_too_long_is_left_out() -> None:
    """Memory is bounded; nothing of ours is that long."""
    recorder = Recorder()
    recorder.write(Note("x" * 5000, None))

    assert recorder.read() is None


def test_a_recorder_that_begins_anew_leaves_the_notes_before_it_alone() -> None:
    """Each process that is forked has one of its own, and the master reads them all."""
    recorder = Recorder()
    first = recorder.begin_anew()
    recorder.write(Note("the first", None))
    second = recorder.begin_anew()
    assert (Note("the first", None), None) == (first.read(), second.read())
    recorder.write(Note("the second", None))

    assert [Note("the first", None), Note("the second", None)] == [first.read(), second.read()]
