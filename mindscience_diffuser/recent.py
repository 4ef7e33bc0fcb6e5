"""A memory of what was made last, with a bound."""

from collections import OrderedDict

MOST = 8
"""Things that a :class:`RecentlyUsed` keeps: enough for what alternates, few enough to keep no memory occupied."""


class RecentlyUsed(OrderedDict):
    """What was made for the last eight keys; older things are dropped and made again when they are asked for."""

    def made(self, key, make):
        """Returns what stands under `key`; `make` makes it where there is nothing."""
        if key not in self:
            self[key] = make()
            if len(self) > MOST:
                self.popitem(last=False)
        self.move_to_end(key)
        return self[key]
