"""The entry points that LocalStack finds: the runtime executors by name, and the hook that runs before it serves."""

from __future__ import annotations

import faulthandler
import signal
from typing import Any

from localstack.runtime import hooks  # type: ignore[import-not-found]
from localstack.services.lambda_.invocation.plugins import (  # type: ignore[import-not-found]
    RuntimeExecutorPlugin,
)


class LabExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]
    """`LAMBDA_RUNTIME_EXECUTOR=lab`: functions as processes in the region's container."""

    name = "lab"

    def load(self, *args: Any, **kwargs: Any) -> type:
        from lab.localstack_plugin.executor import LabExecutor, leave_logs_to_the_lab

        leave_logs_to_the_lab()
        return LabExecutor


class IdleExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]
    """`LAMBDA_RUNTIME_EXECUTOR=lab-idle`: answers at once and runs nothing, to measure what LocalStack itself takes."""

    name = "lab-idle"

    def load(self, *args: Any, **kwargs: Any) -> type:
        from lab.localstack_plugin.executor import IdleExecutor

        return IdleExecutor


@hooks.on_infra_start()  # type: ignore[untyped-decorator]
def install_lab() -> None:
    """Have DynamoDB's changes kept for the replicator, events made by the lab, and requests of every size taken.

    SIGUSR1 writes every thread's stack into the container's log.
    """
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    from lab.localstack_plugin import dynamodb, events, serving

    dynamodb.install()
    events.install()
    serving.install()
