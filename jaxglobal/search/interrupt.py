"""Ctrl-C as a limit: the first one asks the search to end, the second one raises."""

import signal
import threading


class Interrupt:
    """A context in which SIGINT sets `asked`; only in the main thread, elsewhere Python delivers none.

    Of two, one inside the other, both are asked by the same Ctrl-C.
    """

    def __init__(self):
        """Not asked yet."""
        self.asked = False

    def __enter__(self) -> "Interrupt":
        """Takes over the signal."""
        main = threading.current_thread() is threading.main_thread()
        # A handler that was not installed from Python (None) could not be put back.
        self._previous = signal.getsignal(signal.SIGINT) if main else None
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._handle)
        self.asked |= self._outer is not None and self._outer.asked
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signal back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if self._outer is not None:
            self._outer.asked |= self.asked

    @property
    def _outer(self) -> "Interrupt | None":
        """The context that this one is inside of."""
        owner = getattr(self._previous, "__self__", None)
        return owner if isinstance(owner, Interrupt) else None

    def _handle(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
