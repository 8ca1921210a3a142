"""One thing that `polygon-assets doctor` tried.

What is tried belongs to `doctor`, and to `entitlements` for the vendor's plan.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was tried, and the cure if it failed."""

    name: str
    ok: bool
    message: str
    cure: str = ""
