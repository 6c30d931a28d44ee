"""The fronts: the only way into a region, for AWS API calls, API Gateway's data plane and load balancers."""

from lab.live.front.aws_endpoint import AwsEndpoint
from lab.live.front.data_plane import DataPlane, LoadBalancing
from lab.live.front.front import Front

__all__ = ["AwsEndpoint", "DataPlane", "Front", "LoadBalancing"]
