"""Reading ahead in one thread."""

import collections
import concurrent.futures
import time


class Prefetched:
    """Calls `produce(0)`, `produce(1)`, ... ahead of time in one thread and hands the results out in order.

    `wait_seconds` counts the time in which the consumer had to wait. An exception of `produce` is raised
    where its result would have been handed out.
    """

    def __init__(self, produce, prefetch):
        self._produce, self._prefetch = produce, max(prefetch, 1)
        self._executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="input")
        self._pending, self._submitted = collections.deque(), 0
        self.wait_seconds = 0.0

    def next(self):
        """The next result."""
        while len(self._pending) <= self._prefetch:
            self._pending.append(self._executor.submit(self._produce, self._submitted))
            self._submitted += 1
        began = time.perf_counter()
        try:
            return self._pending.popleft().result()
        finally:
            self.wait_seconds += time.perf_counter() - began

    def close(self):
        """Stop the thread; what was read ahead is thrown away."""
        self._executor.shutdown(wait=True, cancel_futures=True)
