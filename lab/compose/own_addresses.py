"""Addresses that a container has beside the one that Docker gives it: those of load balancers and accelerators.

A whole network is made local to the container, as a route; the kernel then answers for every address in it, also after
the container was cut off and connected again. That takes the capability NET_ADMIN in the container's own network
namespace, so the process begins as root and goes on as an ordinary user without any capability.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct

from lab.errors import EnvironmentFailure

USER = "lab"
RTM_NEWROUTE = 24
REQUEST_ACK_CREATE_REPLACE = 0x1 | 0x4 | 0x400 | 0x100
RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL = 255, 3, 254, 2
RTA_DST, RTA_OIF = 1, 4
NLMSG_ERROR = 2


def take_network(network: str, bits: int) -> None:
    """Have the kernel answer for every address of a network: `ip route add local NETWORK/BITS dev lo`.

    https://docs.kernel.org/userspace-api/netlink/intro.html Raises EnvironmentFailure.
    """
    head = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, bits, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL, 0
    )
    attributes = _attribute(RTA_DST, socket.inet_aton(network))
    attributes += _attribute(RTA_OIF, struct.pack("=I", socket.if_nametoindex("lo")))
    body = head + attributes
    message = struct.pack("=IHHII", 16 + len(body), RTM_NEWROUTE, REQUEST_ACK_CREATE_REPLACE, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.send(message)
        answer = kernel.recv(4096)
    kind, code = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
    if kind != NLMSG_ERROR or code != 0:
        raise EnvironmentFailure(
            f"{network}/{bits} cannot be this container's: {os.strerror(-code)}; docker-compose.yml gives it NET_ADMIN"
        )


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def become_user(name: str = USER) -> None:
    """Go on as an ordinary user; the kernel takes all capabilities with it."""
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ["HOME"] = user.pw_dir
