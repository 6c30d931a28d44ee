"""Which addresses of a lab are load balancers' and accelerators'."""

from __future__ import annotations

import pytest

from lab.core.topology import Topology, regional_addresses

LAB = Topology("127.9", regional_addresses("127.9", ("us-east-1", "us-west-2")), (), "/state", "/run")


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.9.1.10", "load balancer"),
        ("127.9.2.59", "load balancer"),
        ("127.9.100.2", "accelerator"),
        ("127.9.100.41", "accelerator"),
        ("127.9.1.1", None),
        ("127.9.0.1", None),
        ("127.9.3.10", None),
        ("127.10.100.2", None),
        ("api.lab.test", None),
    ],
)
def test_an_address_is_a_load_balancers_an_accelerators_or_neithers(address: str, kind: str | None) -> None:
    assert LAB.traffic_at(address) == kind
