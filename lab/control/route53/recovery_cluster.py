"""The data plane API of routing controls: reading and switching them.

https://docs.aws.amazon.com/routing-control/latest/APIReference/Welcome.html. All endpoints of a cluster are one here;
there are no safety rules.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.paging import token_page
from lab.control.route53.recovery_state import RecoveryState, RoutingControl

ENTRIES_MAX = 10
PAGE_MAX = 1_000


class RecoveryClusterPlane:
    """Operations of `route53-recovery-cluster`."""

    def __init__(self, state: RecoveryState) -> None:
        self._state = state

    def get_routing_control_state(self, call: Call) -> dict[str, Any]:
        control = self._state.control(call.parameters["RoutingControlArn"])
        return {
            "RoutingControlArn": control.arn,
            "RoutingControlName": control.name,
            "RoutingControlState": _word(control),
        }

    def update_routing_control_state(self, call: Call) -> dict[str, Any]:
        self._switch([call.parameters])
        return {}

    def update_routing_control_states(self, call: Call) -> dict[str, Any]:
        entries = call.parameters["UpdateRoutingControlStateEntries"]
        if len(entries) > ENTRIES_MAX:
            members = {"limitCode": "RoutingControlStateEntries", "serviceCode": "route53-recovery-cluster"}
            message = f"At most {ENTRIES_MAX} routing controls are switched at once."
            raise AwsError("ServiceLimitExceededException", message, members=members)
        self._switch(entries)
        return {}

    def list_routing_controls(self, call: Call) -> dict[str, Any]:
        wanted = call.parameters.get("ControlPanelArn")
        if wanted is not None:
            self._state.panel(wanted)
        controls = [c for c in self._state.value.controls if wanted in (None, c.panel_arn)]
        page, token = token_page(call, controls, PAGE_MAX, "ValidationException")
        return {
            "RoutingControls": [
                {
                    "ControlPanelArn": control.panel_arn,
                    "ControlPanelName": self._state.panel(control.panel_arn).name,
                    "RoutingControlArn": control.arn,
                    "RoutingControlName": control.name,
                    "RoutingControlState": _word(control),
                }
                for control in page
            ],
            "NextToken": token,
        }

    def _switch(self, entries: list[dict[str, Any]]) -> None:
        """All of them, or, when one does not exist, none."""
        wanted = {}
        for entry in entries:
            control = self._state.control(entry["RoutingControlArn"])
            wanted[control.arn] = entry["RoutingControlState"] == "On"
        controls = tuple(replace(c, on=wanted.get(c.arn, c.on)) for c in self._state.value.controls)
        self._state.keep(controls=controls)


def _word(control: RoutingControl) -> str:
    return "On" if control.on else "Off"
