"""Python's cyclic garbage collector, for processes that import much and live briefly."""

import atexit
import gc


def collect_rarely() -> None:
    """Look for cycles seldom, and not at the end.

    Imports make hundreds of thousands of objects that stay; looking through them again and again was a fifth of a
    run's imports, and once more at exit half a second. Objects without cycles are freed at once as ever.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
