"""The rate limit: so many requests in each minute of the clock, for each key (keyless: together)."""

import time
from dataclasses import dataclass, field


@dataclass
class RateLimiter:
    """Counts requests; `per_minute` is the quota of one key."""

    per_minute: int
    _used: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, key: str) -> tuple[bool, dict[str, str]]:
        """Count one request of a key: whether it is within the quota, and Alpaca's headers about it.

        `X-RateLimit-Reset` is the epoch second from which the quota is whole again.
        """
        minute = int(time.time()) // 60
        counted, used = self._used.get(key, (minute, 0))
        used = used + 1 if counted == minute else 1
        self._used[key] = (minute, used)
        return used <= self.per_minute, {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - used)),
            "X-RateLimit-Reset": str((minute + 1) * 60),
        }
