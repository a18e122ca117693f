"""Ranks behind shaped links: the links are as slow as they were made, and the table shows every measurement."""

import pytest
import shaped_links

pytestmark = [pytest.mark.skipif(bool(shaped_links.why_not()), reason=str(shaped_links.why_not())),
              pytest.mark.parallel, pytest.mark.tier("all")]

RATE_MBIT, BURST_BYTES = 20, 32 * 1024


def test_a_ring_sends_its_share_through_every_link():
    times = shaped_links.measure(RATE_MBIT, [2, 3], largest_bytes=400_000, repeats=1)
    assert list(times) == [2, 3]
    for ranks, measurements in times.items():
        sizes = [m.message_bytes for m in measurements]
        assert sizes == sorted(sizes) and sizes[-1] > 350_000
        for m in measurements:
            on_each_link = 2 * (ranks - 1) / ranks * m.message_bytes
            # No scheduler makes a link faster than it is; a token bucket lets a burst through at once.
            assert m.seconds >= (on_each_link - 2 * BURST_BYTES) / (RATE_MBIT * 1e6 / 8)
    lines = shaped_links.table(times)
    assert "link fitted to 2 ranks" in lines[0]
    assert len(lines) == 2 + sum(map(len, times.values()))
