"""What must hold: each check says what it is about when it fails."""

import time


class Failure(Exception):
    """A check that failed."""


def holds(condition, what):
    if not condition:
        raise Failure(what)


def equal(got, want, what):
    holds(got == want, f"{what}: got {got!r}, want {want!r}")


def between(got, low, high, what):
    """Seconds of which some may have passed."""
    holds(low <= got <= high, f"{what}: got {got!r}, want {low} to {high}")


def refused(kind, call, text=""):
    """The call fails with this exception and this text in it."""
    try:
        answer = call()
    except kind as error:
        holds(text in str(error), f"want {text!r} in {str(error)!r}")
        return error
    raise Failure(f"want {kind.__name__}, got {answer!r}")


def done(answer):
    """An answer without content."""
    equal(getattr(answer, "status_code", None), 204, f"status of {answer!r}")


def eventually(probe, what):
    """What the server does in the background."""
    end = time.monotonic() + 20
    while not probe():
        holds(time.monotonic() < end, f"{what}: not within 20 seconds")
        time.sleep(0.05)
