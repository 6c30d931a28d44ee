"""What zones can have beyond records: accelerated recovery, DNSSEC, query logs, VPCs.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/accelerated-recovery.html. That is kept and shown; no fault of
the lab takes Route 53's API away with us-east-1, so nothing has to be recovered. Of the others the lab has none: what
would make one is refused by name, and the rest answers as Route 53 does for a public zone without any.
"""

from __future__ import annotations

from typing import Any

from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.control.route53.paging import page_size
from lab.control.route53.shapes import zone_id
from lab.control.route53.state import Route53State


class ZoneFeaturesPlane:
    """Operations on features of zones, signing keys, query logging configurations and VPC associations."""

    def __init__(self, state: Route53State) -> None:
        self._state = state

    def update_hosted_zone_features(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        enable = call.parameters.get("EnableAcceleratedRecovery")
        if enable is None:
            raise AwsError("InvalidInput", "No feature is given: EnableAcceleratedRecovery is the one there is")
        recovery = {**self._state.value.accelerated_recovery, zone.zone_id: enable}
        self._state.replace_fields(accelerated_recovery=recovery)
        return {}

    # DNSSEC

    def create_key_signing_key(self, call: Call) -> dict[str, Any]:
        raise self._refusal(call, "DNSSEC signing")

    def activate_key_signing_key(self, call: Call) -> dict[str, Any]:
        raise self._no_key(call)

    def deactivate_key_signing_key(self, call: Call) -> dict[str, Any]:
        raise self._no_key(call)

    def delete_key_signing_key(self, call: Call) -> dict[str, Any]:
        raise self._no_key(call)

    def get_dnssec(self, call: Call) -> dict[str, Any]:
        self._state.zone(call.parameters["HostedZoneId"])
        return {"Status": {"ServeSignature": "NOT_SIGNING"}, "KeySigningKeys": []}

    def enable_hosted_zone_dnssec(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        raise AwsError(
            "KeySigningKeyWithActiveStatusNotFound",
            f"The hosted zone {zone.zone_id} has no active key signing key; the lab implements no DNSSEC signing.",
        )

    def disable_hosted_zone_dnssec(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        raise AwsError("DNSSECNotFound", f"DNSSEC signing is not enabled for the hosted zone {zone.zone_id}.")

    # query logs

    def create_query_logging_config(self, call: Call) -> dict[str, Any]:
        raise self._refusal(call, "query logs; `lab dig NAME --explain` says why a query is answered as it is")

    def get_query_logging_config(self, call: Call) -> dict[str, Any]:
        raise _no_query_log(call)

    def delete_query_logging_config(self, call: Call) -> dict[str, Any]:
        raise _no_query_log(call)

    def list_query_logging_configs(self, call: Call) -> dict[str, Any]:
        if call.parameters.get("HostedZoneId"):
            self._state.zone(call.parameters["HostedZoneId"])
        return {"QueryLoggingConfigs": []}

    # VPCs

    def associate_vpc_with_hosted_zone(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        raise AwsError(
            "PublicZoneVPCAssociation",
            f"{zone.zone_id} is a public hosted zone, which no VPC is associated with; "
            "the lab implements no private hosted zones.",
        )

    def disassociate_vpc_from_hosted_zone(self, call: Call) -> dict[str, Any]:
        zone, vpc = self._state.zone(call.parameters["HostedZoneId"]), call.parameters["VPC"].get("VPCId")
        raise AwsError(
            "VPCAssociationNotFound", f"The VPC {vpc} is not associated with hosted zone {zone.zone_id}.", status=404
        )

    def create_vpc_association_authorization(self, call: Call) -> dict[str, Any]:
        raise self._refusal(call, "private hosted zones")

    def delete_vpc_association_authorization(self, call: Call) -> dict[str, Any]:
        zone, vpc = self._state.zone(call.parameters["HostedZoneId"]), call.parameters["VPC"].get("VPCId")
        raise AwsError(
            "VPCAssociationAuthorizationNotFound",
            f"The VPC {vpc} is not authorized to be associated with hosted zone {zone.zone_id}.",
            status=404,
        )

    def list_vpc_association_authorizations(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        return {"HostedZoneId": zone.zone_id, "VPCs": []}

    def list_hosted_zones_by_vpc(self, call: Call) -> dict[str, Any]:
        return {"HostedZoneSummaries": [], "MaxItems": str(page_size(call))}

    # refusals

    def _refusal(self, call: Call, what: str) -> AwsError:
        self._state.zone(call.parameters["HostedZoneId"])
        return not_implemented("route53", call.operation, what)

    def _no_key(self, call: Call) -> AwsError:
        zone, name = self._state.zone(call.parameters["HostedZoneId"]), call.parameters["Name"]
        return AwsError("NoSuchKeySigningKey", f"{zone.zone_id} has no key signing key {name!r}.", status=404)


def _no_query_log(call: Call) -> AwsError:
    wanted = zone_id(call.parameters["Id"])
    return AwsError("NoSuchQueryLoggingConfig", f"The query logging configuration {wanted} does not exist.", status=404)
