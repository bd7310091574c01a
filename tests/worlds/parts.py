"""Parts of a measurement that go wrong; imported by fresh processes, so they need no library."""

import time


def three_rows_and_a_fault(word):
    yield from ({"what": f"{word} {n}", "tflops": float(n)} for n in range(3))
    raise ValueError("no more")


def a_row_and_a_long_sleep():
    yield {"what": "first", "seconds": 1.0}
    time.sleep(60)
