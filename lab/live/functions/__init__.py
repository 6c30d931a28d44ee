"""Lambda's execution environments in a region: real handlers under AWS's own runtime interface client."""

from lab.live.functions.environment import Environment, EnvironmentSettings, EnvironmentStatus
from lab.live.functions.environment_pool import EnvironmentPool
from lab.live.functions.event import Event, Outcome
from lab.live.functions.invoke_api import answer_invoke, error_response, is_invoke
from lab.live.functions.log_shipper import CloudWatchLogs, LogPutFailed, LogSink, NoLogSink
from lab.live.functions.region_functions import (
    FunctionStatus,
    Invocation,
    InvocationType,
    RegionFunctions,
    RegionFunctionsStatus,
)

__all__ = [
    "CloudWatchLogs",
    "Environment",
    "EnvironmentPool",
    "EnvironmentSettings",
    "EnvironmentStatus",
    "Event",
    "FunctionStatus",
    "Invocation",
    "InvocationType",
    "LogPutFailed",
    "LogSink",
    "NoLogSink",
    "Outcome",
    "RegionFunctions",
    "RegionFunctionsStatus",
    "answer_invoke",
    "error_response",
    "is_invoke",
]
