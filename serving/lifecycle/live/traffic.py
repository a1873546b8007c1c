"""Shares traffic out among versions by their weights, evenly and without chance."""

from __future__ import annotations

from collections.abc import Mapping

_MOST_ABSENT = 64


class Shares:
    """Smooth weighted round robin, as nginx has it: each pick goes to whoever is owed most.

    Every pick gives each id its share of one pick as credit and takes one from the id that is
    chosen. So counts never stray far from the shares, however weights and ids change in between,
    and a light id's picks do not come in bursts. Who is absent keeps its credit for its return.

    Not thread-safe: its owner calls it under a lock.
    """

    def __init__(self) -> None:
        self._credits: dict[str, float] = {}

    def pick(self, weights: Mapping[str, float]) -> str:
        """The id whose turn it is.

        Args:
            weights: by id, finite and 0 or more, at least one above 0; of those that can be
                picked now. Only their proportions count; who has 0 is not picked.

        Raises:
            ValueError: nobody has a weight above 0.
        """
        total = sum(weight for weight in weights.values() if weight > 0)
        if total <= 0:
            raise ValueError("Nobody can be picked: no weight is above 0.")
        credit = self._credits
        present = [id for id, weight in weights.items() if weight > 0]
        for id in present:
            credit[id] = credit.get(id, 0.0) + weights[id] / total
        chosen = max(present, key=credit.__getitem__)
        credit[chosen] -= 1.0
        if len(credit) > len(present) + _MOST_ABSENT:
            # Ids come and go for years; what the present ones are owed stays what it is.
            self._credits = {id: credit[id] for id in present}
        return chosen
