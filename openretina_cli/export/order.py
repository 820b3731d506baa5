"""Orders of stimuli: each a list of rounds, in each of which every stimulus is shown once."""

from __future__ import annotations

import random

from openretina_cli.errors import SettingError

Rounds = list[list[int]]


def rounds_of(order: str, count: int, repeats: int, seed: int) -> Rounds:
    """The rounds of an order. Of two or more stimuli none follows itself, also from one round to the next.

    Args:
        order: "sequential", "random" or "latin".
        count: number of stimuli, at least 1.
        repeats: number of rounds, at least 1.
        seed: equal seeds give equal orders.

    Raises:
        SettingError: the order is latin, and there are two stimuli.
    """
    generator = random.Random(seed)  # noqa: S311  # no secret
    if order == "sequential" or count == 1:
        return [[*range(count)] for _ in range(repeats)]
    return _latin(count, repeats, generator) if order == "latin" else _random(count, repeats, generator)


def _random(count: int, repeats: int, generator: random.Random) -> Rounds:
    rounds: Rounds = []
    for _ in range(repeats):
        found = generator.sample(range(count), count)
        if rounds and rounds[-1][-1] == found[0]:
            other = generator.randrange(1, count)
            found[0], found[other] = found[other], found[0]
        rounds.append(found)
    return rounds


def _latin(count: int, repeats: int, generator: random.Random) -> Rounds:
    """Rows of a Latin square in Williams' sequence 0, 1, n-1, 2, n-2, ...

    For even n every ordered pair of neighbours in a row occurs once in n rows.

    Source: E. J. Williams, Australian Journal of Scientific Research A 2, 149 (1949).
    """
    if count == 2:
        raise SettingError(
            "export.protocol.order=latin: of two stimuli one would follow itself from row to row",
            repair="export.protocol.order=sequential",
        )
    first = [0, *((place + 1) // 2 if place % 2 else count - place // 2 for place in range(1, count))]
    names, start = generator.sample(range(count), count), generator.randrange(count)
    return [[names[(place + start + row) % count] for place in first] for row in range(repeats)]
