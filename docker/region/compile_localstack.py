"""Imports what a region of the lab loads, so that the image has it compiled: starting takes half of the time."""

import importlib

MODULES = (
    "localstack.runtime.main",
    "localstack.aws.app",
    "localstack.services.apigateway.next_gen.provider",
    "localstack.services.cloudwatch.provider_v2",
    "localstack.services.dynamodb.provider",
    "localstack.services.dynamodbstreams.provider",
    "localstack.services.kinesis.provider",
    "localstack.services.lambda_.provider",
    "localstack.services.logs.provider",
    "localstack.services.s3.provider",
    "localstack.services.sts.provider",
)


def main() -> None:
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:  # another release has it elsewhere: it is compiled when it is used
            print(f"not compiled beforehand: {error}")


main()
