"""One region from a test's side: its address, AWS clients of its endpoint, and making it fail."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lab.errors import UserError

if TYPE_CHECKING:
    from lab.testing.lab import Lab

_CLIENT_LOCK = threading.Lock()


class RegionHandle:
    """One region of a running lab."""

    def __init__(self, lab: Lab, code: str) -> None:
        self._lab, self.code = lab, code
        self._clients: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return self._lab.topology.region(self.code).address

    @property
    def endpoint_url(self) -> str:
        """The region's AWS endpoint."""
        return self._lab.topology.url(self.address, self._lab.topology.aws_port)

    @property
    def condition(self) -> str:
        """`up`, `down` or `hang`."""
        return self._lab.faults.region_condition(self.code)

    def fail(self, *, hang: bool = False, lose_data: bool = False) -> None:
        """Take the region down: refused connections, or with `hang` connections on which nothing comes back.

        With `lose_data` its engine dies, and with it what had not left the region. In force when this returns.
        """
        if hang and lose_data:
            raise UserError("a region that hangs keeps its data: use either hang or lose_data")
        effect = "hang" if hang else "down"
        label = f"region {self.code} {effect}{' losing data' if lose_data else ''}"
        self._lab.add_fault({"effect": effect, "region": self.code, "lose_data": lose_data, "label": label})

    def pause_replication(self) -> None:
        """Stop replication into and out of the region; other pairs go on."""
        label = f"replication of {self.code} paused"
        self._lab.add_fault({"effect": "replication_paused", "region": self.code, "label": label})

    def heal(self) -> None:
        """Lift every fault that is this region's."""
        for fault in self._lab.faults.faults:
            if self.code in (fault.region, fault.target):
                self._lab.lift_fault(fault.fault_id)

    def client(self, service: str) -> Any:
        """A boto3 client of the region's endpoint, made once. It tries each call once, with a bounded wait."""
        with _CLIENT_LOCK:  # botocore's sessions are not made for threads; its clients are
            if service not in self._clients:
                self._clients[service] = make_client(service, self.code, self.endpoint_url)
            return self._clients[service]


def make_client(service: str, region: str, endpoint_url: str) -> Any:
    """A boto3 client that sees nothing of the host's AWS configuration."""
    import boto3
    import botocore.session
    from botocore.config import Config

    core = botocore.session.Session()
    core.set_config_variable("config_file", "/dev/null")
    core.set_config_variable("credentials_file", "/dev/null")
    core.set_credentials("test", "test")
    config = Config(
        connect_timeout=2,
        read_timeout=10,
        retries={"total_max_attempts": 1},
        proxies={},
        s3={"addressing_style": "path"},
        max_pool_connections=16,
    )
    session = boto3.Session(botocore_session=core, region_name=region)
    return session.client(service, endpoint_url=endpoint_url, config=config)
