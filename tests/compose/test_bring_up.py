"""What is said when Compose fails: its own last words, and what to do about them."""

from __future__ import annotations

import pytest
import requests
from docker.errors import APIError, NotFound

from lab.compose.bring_up import explained
from lab.compose.sdk import docker_failure


@pytest.mark.parametrize(
    ("output", "said", "advice"),
    [
        (
            " Container x  Starting\nError response from daemon: driver failed programming external connectivity on "
            "endpoint x: Error starting userland proxy: listen tcp4 127.0.0.1:8000: bind: address already in use",
            "127.0.0.1:8000",
            "lab doctor",
        ),
        (
            'failed to do request: Head "https://registry-1.docker.io/v2/": no such host',
            "no such host",
            "LOCALSTACK_TAG",
        ),
        ("localstack/localstack:9.9.9: not found: manifest unknown: manifest unknown", "9.9.9", "LOCALSTACK_TAG"),
        ("Pool overlaps with other one on this address space: failed", "Pool overlaps", "LAB_BACKBONE"),
        ("error during connect: Get http://docker: EOF", "error during connect", "start it"),
        ("container lab-us-east-1-1 is unhealthy", "lab-us-east-1-1 is unhealthy", ""),
        (
            'service "settings" didn\'t complete successfully: exit 2',
            "exit 2",
            "docker compose logs settings",
        ),
        ('target stage "dynalite" could not be found', "dynalite", "LAB_ENGINE"),
        ("", "no reason given", ""),
    ],
)
def test_a_failure_of_compose_is_told_with_what_to_do(output: str, said: str, advice: str) -> None:
    told = explained(output)
    assert said in told and advice in told


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (APIError("500", explanation="listen tcp4 127.0.0.1:8000: bind: address already in use"), [":8000", "doctor"]),
        (NotFound("404 Client Error: no such container: x"), ["Docker refused it", "no such container"]),
        (requests.exceptions.ConnectionError("connection aborted"), ["connection aborted", "does not answer any more"]),
    ],
)
def test_what_docker_refuses_in_the_middle_of_a_command_is_told_in_words(error: Exception, words: list[str]) -> None:
    failure = docker_failure(error)
    assert failure is not None and all(word in str(failure) for word in words)


def test_what_is_not_dockers_stays_a_fault_of_the_lab() -> None:
    assert docker_failure(KeyError("pairs")) is None
