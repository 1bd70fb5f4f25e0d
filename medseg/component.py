"""What every description of a component has in common. Standard library only."""

import re
from dataclasses import dataclass

from medseg.fields import check_fields

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_IMPORT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Component:
    """What every component says of itself; its fields are checked when it is made.

    Args:
        name: lower case, digits and single hyphens, such as ``attention-unet``.
        factory: import string of the code, ``"package.module:name"``.
        summary: one line of at most 80 characters for tables and menus.
        reference: the paper or document it follows (authors, year, doi).

    Raises:
        TypeError: a field holds something else than its annotation says.
        ValueError: a name or an import string that is not allowed.
    """

    name: str
    factory: str
    summary: str
    reference: str = ""

    def __post_init__(self) -> None:
        check_fields(self, owner=f"{type(self).__name__} {self.name!r}")
        if not NAME.fullmatch(self.name.replace(".", "-")):
            raise ValueError(
                f"{type(self).__name__} name {self.name!r} is not allowed: use lower-case letters "
                "and digits, joined by single hyphens or dots, beginning with a letter"
            )
        if self.factory and not _IMPORT.fullmatch(self.factory):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: factory {self.factory!r} is not an import "
                'string; write "package.module:name"'
            )
