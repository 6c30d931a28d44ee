"""The environment variables of an execution environment: AWS's, the function's own, and nothing of the host's.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime. Beyond AWS's
there are two: `AWS_ENDPOINT_URL`, through which SDKs find the region, and `TMPDIR`, because environments share the
machine's `/tmp`. Left out: X-Ray's.
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.core.function import Function

RESERVED_VARIABLES = frozenset(
    [
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    ]
)
"""What Lambda sets itself and lets nobody set.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIALABFUNCTION00001",
    "AWS_SECRET_ACCESS_KEY": "lab/function/secret/access/key/of/no/use",
    "AWS_SESSION_TOKEN": "lab-function-session-token",
}
"""What stands for the credentials of a function's role. The lab verifies no signature."""


def environment_variables(
    function: Function,
    *,
    runtime_api: str,
    runtime_dir: str,
    log_stream: str,
    temporary_dir: str,
    endpoint_url: str | None,
    credentials: Mapping[str, str] = CREDENTIALS,
) -> dict[str, str]:
    """All variables of one environment.

    `runtime_api` is HOST:PORT, `runtime_dir` the folder with the SDK and the runtime interface client. A function's
    own variables win over the ones that AWS lets it extend (and over the endpoint), never over reserved ones.
    """
    task_root = function.code_dir
    extensible = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": f"{runtime_dir}:{runtime_dir}/lib:{task_root}:{task_root}/lib:/opt/lib",
        "PYTHONPATH": runtime_dir,
        "TMPDIR": temporary_dir,
    }
    if endpoint_url is not None:
        extensible["AWS_ENDPOINT_URL"] = endpoint_url
    reserved = {
        "_HANDLER": function.handler,
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_TASK_ROOT": task_root,
        "LAMBDA_RUNTIME_DIR": runtime_dir,
    }
    return {**extensible, **function.environment, **credentials, **reserved}
