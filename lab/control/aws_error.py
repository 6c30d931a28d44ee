"""An AWS API error as a value: what the control planes raise and the protocol layer writes in the service's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class AwsError(Exception):
    """One refused call. `code` is AWS's name of the error, `message` is for people.

    `status` None takes the status that the service's model gives the error (400 where it gives none). `members` are
    further members of the modelled error (Route 53's `messages`, Lambda's `Reason`).
    """

    code: str
    message: str
    status: int | None = None
    members: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def not_implemented(service: str, operation: str, why: str = "") -> AwsError:
    """The answer to an operation (or a form of one) that AWS has and the lab has not.

    501 is no status that SDKs retry, so a user sees this at once.
    """
    reason = f": {why}" if why else ""
    return AwsError("NotImplemented", f"the lab does not implement {service}:{operation}{reason}", status=501)
