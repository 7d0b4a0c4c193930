"""What type checkers know on every supported Python, and ``typing`` does not."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Unpack
else:
    # Python 3.10 has none; whoever looks up a hint there finds the class in the brackets.
    Unpack = getattr(typing, "Unpack", typing.Union)

__all__ = ["Unpack"]
