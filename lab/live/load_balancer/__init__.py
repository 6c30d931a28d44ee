"""Application Load Balancers: the data planes of the regions' load balancers and their target health."""

from lab.live.load_balancer.region_load_balancers import RegionLoadBalancers

__all__ = ["RegionLoadBalancers"]
