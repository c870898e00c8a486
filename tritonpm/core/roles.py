"""What somebody may do: each role may do what those before it may."""

from __future__ import annotations

from enum import Enum


class Role(str, Enum):
    """`view` looks, `operate` runs what is there, `administer` decides what is there."""

    VIEW = "view"
    OPERATE = "operate"
    ADMINISTER = "administer"

    def covers(self, needed: Role) -> bool:
        """Whether who has this role may do what needs that one."""
        roles = list(Role)
        return roles.index(self) >= roles.index(needed)
