"""CIDR collections: named lists of address blocks, for IP-based routing.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeCidrCollection.html
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.paging import token_page
from lab.control.route53.state import Route53State
from lab.core.zone import CidrCollection, CidrLocation

COLLECTIONS_MAX = 5
BLOCKS_MAX = 1_000
CHANGES_MAX = 1_000
PREFIX_MAX = {4: 24, 6: 48}
_LOCATION = re.compile(r"[0-9A-Za-z_\-]{1,16}")
_NAME = re.compile(r"[0-9A-Za-z_\-]{1,64}")


class CidrCollectionsPlane:
    """Operations on CIDR collections."""

    def __init__(self, state: Route53State) -> None:
        self._state = state

    def create_cidr_collection(self, call: Call) -> dict[str, Any]:
        name, reference = call.parameters["Name"], call.parameters["CallerReference"]
        records = self._state.value
        if not _NAME.fullmatch(name):
            raise AwsError("InvalidInput", f"Invalid collection name {name!r}: letters, digits, - and _, at most 64")
        known = next((c for c in records.cidr_collections if c.name == name), None)
        if known is not None:
            if records.cidr_references.get(reference) == known.collection_id:
                return _created(known)
            raise AwsError("CidrCollectionAlreadyExistsException", f"The CIDR collection {name} exists already.")
        if reference in records.cidr_references:
            raise AwsError("CidrCollectionAlreadyExistsException", f"The caller reference {reference!r} was used.")
        if len(records.cidr_collections) >= COLLECTIONS_MAX:
            raise AwsError("LimitsExceeded", f"An account has at most {COLLECTIONS_MAX} CIDR collections.")
        made = CidrCollection(str(uuid.uuid4()), name)
        self._state.replace_zones(
            records.zones,
            cidr_collections=(*records.cidr_collections, made),
            cidr_references={**records.cidr_references, reference: made.collection_id},
        )
        return _created(made)

    def change_cidr_collection(self, call: Call) -> dict[str, Any]:
        found = self._state.collection(call.parameters["Id"])
        wanted = call.parameters.get("CollectionVersion")
        if wanted not in (None, found.version):
            raise AwsError(
                "CidrCollectionVersionMismatchException",
                f"The collection has the version {found.version}, not {wanted}.",
            )
        locations = changed_locations(found.locations, call.parameters["Changes"], self._used(found.collection_id))
        made = replace(found, locations=locations, version=found.version + 1)
        collections = tuple(made if other is found else other for other in self._state.value.cidr_collections)
        change = self._state.replace_zones(self._state.value.zones, cidr_collections=collections)
        return {"Id": change.change_id}

    def delete_cidr_collection(self, call: Call) -> dict[str, Any]:
        found = self._state.collection(call.parameters["Id"])
        if found.locations:
            raise AwsError("CidrCollectionInUseException", f"The CIDR collection {found.name} is not empty.")
        if self._used(found.collection_id):
            raise AwsError("CidrCollectionInUseException", f"The CIDR collection {found.name} is used by record sets.")
        records = self._state.value
        self._state.replace_zones(
            records.zones,
            cidr_collections=tuple(other for other in records.cidr_collections if other is not found),
            cidr_references={k: v for k, v in records.cidr_references.items() if v != found.collection_id},
        )
        return {}

    def list_cidr_collections(self, call: Call) -> dict[str, Any]:
        page, token = token_page(call, self._state.value.cidr_collections)
        return {
            "CidrCollections": [
                {"Arn": _arn(known), "Id": known.collection_id, "Name": known.name, "Version": known.version}
                for known in page
            ],
            "NextToken": token,
        }

    def list_cidr_locations(self, call: Call) -> dict[str, Any]:
        page, token = token_page(call, self._state.collection(call.parameters["CollectionId"]).locations)
        return {"CidrLocations": [{"LocationName": location.name} for location in page], "NextToken": token}

    def list_cidr_blocks(self, call: Call) -> dict[str, Any]:
        found = self._state.collection(call.parameters["CollectionId"])
        wanted = call.parameters.get("LocationName")
        if wanted is not None and wanted not in {location.name for location in found.locations}:
            raise AwsError("NoSuchCidrLocationException", f"The collection {found.name} has no location {wanted}.")
        blocks = [
            {"CidrBlock": block, "LocationName": location.name}
            for location in found.locations
            if wanted in (None, location.name)
            for block in location.blocks
        ]
        page, token = token_page(call, blocks)
        return {"CidrBlocks": list(page), "NextToken": token}

    def _used(self, collection_id: str) -> set[str]:
        """The locations of a collection that record sets name."""
        return {
            record.cidr.location_name
            for zone in self._state.value.zones
            for record in zone.record_sets
            if record.cidr is not None and record.cidr.collection_id == collection_id
        }


def changed_locations(
    locations: Sequence[CidrLocation], changes: Sequence[dict[str, Any]], used: Collection[str]
) -> tuple[CidrLocation, ...]:
    """The locations after a request's changes, in order. Raises AwsError; then nothing has happened."""
    if sum(len(change["CidrList"]) for change in changes) > CHANGES_MAX:
        raise AwsError("LimitsExceeded", f"A request changes at most {CHANGES_MAX} CIDR blocks.")
    blocks = {location.name: list(location.blocks) for location in locations}
    # What leaves a location may come to another one in the same request.
    for change in sorted(changes, key=lambda change: bool(change["Action"] == "PUT")):
        name = change["LocationName"]
        if not _LOCATION.fullmatch(name):
            raise AwsError("InvalidInput", f"Invalid location name {name!r}: letters, digits, - and _, at most 16")
        held = blocks.setdefault(name, [])
        for text in change["CidrList"]:
            block = normal_block(text)
            if change["Action"] == "DELETE_IF_EXISTS":
                blocks[name] = held = [other for other in held if other != block]
            elif block not in held:
                _check_free(block, name, blocks)
                held.append(block)
    emptied = sorted(name for name, held in blocks.items() if not held and name in used)
    if emptied:
        raise AwsError(
            "CidrBlockInUseException", f"The location {emptied[0]} is used by record sets; it needs a block."
        )
    if sum(map(len, blocks.values())) > BLOCKS_MAX:
        raise AwsError("LimitsExceeded", f"A CIDR collection has at most {BLOCKS_MAX} blocks.")
    return tuple(CidrLocation(name, tuple(held)) for name, held in sorted(blocks.items()) if held)


def normal_block(text: str) -> str:
    """A CIDR block in the form that is kept. Raises InvalidInput: IPv4 has /1 to /24, IPv6 /1 to /48."""
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise AwsError("InvalidInput", f"Invalid CIDR block {text!r}: {error}") from error
    longest = PREFIX_MAX[network.version]
    if "/" not in text or not 1 <= network.prefixlen <= longest:
        raise AwsError(
            "InvalidInput", f"Invalid CIDR block {text!r}: IPv{network.version} blocks have /1 to /{longest}"
        )
    return str(network)


def _check_free(block: str, name: str, blocks: dict[str, list[str]]) -> None:
    other = next((location for location, held in blocks.items() if location != name and block in held), None)
    if other is not None:
        raise AwsError("InvalidInput", f"The CIDR block {block} is in the location {other} already.")


def _arn(known: CidrCollection) -> str:
    return f"arn:aws:route53:::cidrcollection/{known.collection_id}"


def _created(known: CidrCollection) -> dict[str, Any]:
    return {
        "Collection": {"Arn": _arn(known), "Id": known.collection_id, "Name": known.name, "Version": known.version},
        "Location": f"https://route53.amazonaws.com/2013-04-01/cidrcollection/{known.collection_id}",
    }
