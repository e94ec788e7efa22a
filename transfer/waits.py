"""How long to wait before a request is tried again: tenacity's strategies, imported when the first thing has failed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tenacity.wait import wait_base


class BackOff:
    """Waits that double from round to round, with jitter, so that many who failed together do not return together.

    After round 1 a wait is between half of `first` and the whole of it; none is longer than `most`. In seconds.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._strategy: wait_base | None = None

    def __call__(self, round: int) -> float:
        from tenacity import RetryCallState, Retrying, wait_random_exponential

        if self._strategy is None:
            self._strategy = wait_random_exponential(
                multiplier=self._first, min=self._first / 2, max=self._most
            )
        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = round
        return self._strategy(state)
