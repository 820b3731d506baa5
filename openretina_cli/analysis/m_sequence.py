"""Maximum-length sequences: binary noise that is orthogonal to itself at every shift."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

TAPS = {
    **{3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5), 10: (10, 7), 11: (11, 9)},
    **{12: (12, 11, 8, 6), 13: (13, 12, 10, 9), 14: (14, 13, 11, 9), 15: (15, 14), 16: (16, 15, 13, 4)},
    **{17: (17, 14), 18: (18, 11), 19: (19, 18, 17, 13), 20: (20, 17), 21: (21, 19), 22: (22, 21)},
}
"""By order, the stages of a shift register whose sum is fed back: primitive polynomials (Xilinx XAPP 052, table 3; some
are read backwards)."""


@lru_cache(2)
def m_sequence(order: int) -> NDArray[np.int8]:
    """One period, `2 ** order - 1` values of +1 and -1, whose products with any shift of it sum to -1."""
    length = 2**order - 1
    bits = np.ones(length + order, np.int8)
    # s[n] is the sum of earlier values; a block as long as the shortest delay is known at once
    step, position = min(TAPS[order]), order
    while position < length:
        stop = min(position + step, length)
        total = np.zeros(stop - position, np.int8)
        for tap in TAPS[order]:
            total ^= bits[position - tap : stop - tap]
        bits[position:stop] = total
        position = stop
    signs: NDArray[np.int8] = 1 - 2 * bits[:length]
    signs.setflags(write=False)  # shared by all callers
    return signs


def kernel(response: NDArray[np.float64], sequence: NDArray[np.int8]) -> NDArray[np.float64]:
    """The linear kernel `(lag, neuron)` that leads from a periodic sequence to a response `(time, neuron)`.

    For a response that is the sequence convolved with a kernel no longer than its period, the kernel is exact: the
    correlation with an m-sequence differs from it by its own sum (Sutter 1987; Reid, Victor and Shapley 1997,
    doi:10.1017/S0952523800011743).
    """
    length = len(sequence)
    spectrum = np.conj(np.fft.rfft(sequence.astype(np.float64)))[:, None] * np.fft.rfft(response, axis=0)
    correlation = np.fft.irfft(spectrum, n=length, axis=0)
    exact: NDArray[np.float64] = (correlation + correlation.sum(0)) / (length + 1)
    return exact
