"""Who is calling: the one answer of STS that nearly every client asks for, without the rest of STS.

https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html. Signatures are not verified, so everyone
is the account's root.
"""

from __future__ import annotations

from typing import Any

from lab.control.dispatch import Call
from lab.core.topology import ACCOUNT_ID


class IdentityPlane:
    """GetCallerIdentity."""

    def get_caller_identity(self, call: Call) -> dict[str, Any]:
        return {"UserId": ACCOUNT_ID, "Account": ACCOUNT_ID, "Arn": f"arn:aws:iam::{ACCOUNT_ID}:root"}
