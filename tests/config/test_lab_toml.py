"""lab.toml: what is accepted, and what an error says: file, line, key, what was expected."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from lab.config import schema
from lab.config.lines import key_lines, line_of
from lab.config.settings import (
    Settings,
    load_settings,
    make_plan,
    make_topology,
    one_machine_settings,
    override,
    project_folder,
)
from lab.core.deployment import Route
from lab.errors import ConfigError, UserError


def settings(folder: Path, text: str) -> Settings:
    (folder / "lab.toml").write_text(text)
    return load_settings(folder)


def mistake(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(folder, text)
    return str(caught.value).removeprefix(f"{folder}/")


def test_without_a_file_the_defaults_stand(tmp_path: Path) -> None:
    found = load_settings(tmp_path)
    assert found.regions == ("us-east-1", "us-west-2")
    assert make_topology(found, run_dir="/run").region("us-west-2").address == "127.10.2.1"


def test_the_template_says_the_defaults(tmp_path: Path) -> None:
    text = resources.files("lab.config").joinpath("template.toml").read_text()
    assert settings(tmp_path, text) == Settings(tmp_path)


def test_settings_that_containers_do_not_read_are_known_by_name(tmp_path: Path) -> None:
    assert one_machine_settings(Settings(tmp_path)) == ()
    found = settings(tmp_path, "speed = 3\n[accelerator]\nlatency = true\n[health_check]\npath = '/health'\n")
    assert one_machine_settings(found) == ("speed", "accelerator_latency")


def test_every_example_in_the_template_is_valid(tmp_path: Path) -> None:
    text = resources.files("lab.config").joinpath("template.toml").read_text()
    head, _, tail = text.partition("# What is deployed")
    lines = [line.removeprefix("# ") for line in tail.splitlines()]
    examples = [line for line in lines if " = " in line or line.startswith("[")]
    (tmp_path / "handlers" / "feedback").mkdir(parents=True)
    found = settings(tmp_path, head + "\n".join(examples))
    assert found.places[0].name == "oslo"
    assert found.functions is not None and found.functions[0].routes[0] == Route("POST", "/feedback")
    assert make_plan(found).health_check is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speeed = 3", "lab.toml:1: `speeed`: unknown key; did you mean speed or seed?"),
        (
            'seed = 1\nregions = ["us-esat-1"]',
            "lab.toml:2: `regions`: unknown region 'us-esat-1': did you mean us-west-1 or us-east-1 or us-west-2?",
        ),
        ('regions = "us-east-1"', "lab.toml:1: `regions`: expected a list, got 'us-east-1'"),
        ("regions = []", "lab.toml:1: `regions`: no region given: name at least one, such as us-east-1,us-west-2"),
        ('[ports]\n\naws = "x"', "lab.toml:3: `ports.aws`: expected a whole number, got 'x'"),
        (
            '[[functions]]\nname = "a"\nhandler = "app"',
            "lab.toml:3: `functions[0].handler`: expected module.function, such as app.handler, got 'app'",
        ),
        ("[ports]\naws = 80", "lab.toml:2: `ports.aws`: expected a whole number from 1024 to 65535, got 80"),
        (
            "[ports]\naws = 9000\nhttp = 9000",
            "lab.toml:3: `ports.http`: `aws` and `http` are both 9000; they share an address",
        ),
        (
            '[[places]]\nname = "oslo"\nlatitude = 1\ncountry = "NO"\ncontinent = "EU"',
            "lab.toml:1: `places[0].longitude`: is missing; [[places]] needs name, latitude, longitude, country "
            "and continent",
        ),
        (
            '[[functions]]\nname = "a"\n\n[[functions]]\nname = "b"\nroutes = [\n  "GOT /y",\n]',
            "lab.toml:6: `functions[1].routes[0]`: expected a method and a path such as "
            "\"GET /feedback/{id}\", got 'GOT /y'",
        ),
        (
            '[[functions]]\nname = "a"\n[functions.environment]\nBB = 1',
            "lab.toml:4: `functions[0].environment.BB`: expected a text in quotes, got 1",
        ),
        (
            "speed = 0",
            "lab.toml:1: `speed`: speed 0 is out of range: 1 is AWS's pace, 30 is thirty times as fast (0.1 to 1000)",
        ),
        (
            '[[tables]]\nname = "abc"\nkey = {}',
            "lab.toml:3: `tables[0].key`: expected one or two attributes with their types, partition key first, "
            'such as { customer = "S", number = "N" }',
        ),
        (
            '[[tables]]\nname = "abc"\nkey = { a = "S" }\n[[tables]]\nname = "abc"\nkey = { a = "S" }',
            "lab.toml:5: `tables[1].name`: there is a table abc already",
        ),
        ("tables = 3", "lab.toml:1: `tables`: expected a list of tables, such as [[tables]], got 3"),
        (
            "[replication.lags]\nsource = 'a'",
            "lab.toml:1: `replication.lags`: expected a list of tables, such as [[replication.lags]], "
            "got {source = 'a'}",
        ),
        ("accelerator = true", "lab.toml:1: `accelerator`: expected a table, such as [accelerator], got true"),
        ("speed = 2026-01-01", "lab.toml:1: `speed`: expected a number, got 2026-01-01"),
        ("seed = 1\n[[functions]]", "lab.toml:2: `functions[0].name`: is missing; [[functions]] needs name"),
        (
            '[[functions]]\nname = "a"\nenvironment = { "1A" = "x" }',
            "lab.toml:3: `functions[0].environment.1A`: expected a variable's name: a letter, then letters, digits "
            "and _, at least two in all, got '1A'",
        ),
        (
            '[[functions]]\nname = "a"\nenvironment = { AWS_REGION = "x" }',
            "lab.toml:3: `functions[0].environment.AWS_REGION`: Lambda sets AWS_REGION itself and "
            "lets nobody else set it",
        ),
        (
            '[[functions]]\nname = "a"\nroutes = ["GET /a/{x}", "GET /a/{y}/b"]',
            "lab.toml:3: `functions[0].routes[1]`: /a/{y}/b: {y} stands where another route has {x}; "
            "API Gateway takes one of them",
        ),
        (
            '[[places]]\nname = "oslo"\nlatitude = 1\nlongitude = nan\ncountry = "NO"\ncontinent = "EU"',
            "lab.toml:4: `places[0].longitude`: expected a number from -180 to 180, got nan",
        ),
        (
            '[[places]]\nname = "o"\nlatitude = 1\nlongitude = 1\ncountry = "NO"\ncontinent = "EU"\n'
            'subnet = "10.0.0.0/24"',
            "lab.toml:7: `places[0].subnet`: expected a /24 of 198.18.0.0/15, got '10.0.0.0/24'",
        ),
        (
            '[[replication.lags]]\nsource = "us-east-1"\ntarget = "us-east-1"\nlag_ms = 5',
            "lab.toml:3: `replication.lags[0].target`: a region has no lag to itself",
        ),
        (
            'seed = 1\n[[replication.clock_skews]]\nregion = "eu-west-1"\nskew_ms = 5',
            "lab.toml:3: `replication.clock_skews[0].region`: no region 'eu-west-1' in this lab: "
            "expected one of us-east-1, us-west-2 (did you mean us-west-2?)",
        ),
        (
            '[[replication.clock_skews]]\nregion = "us-west-2"\nskew_ms = 5\n'
            '[[replication.clock_skews]]\nregion = "us-west-2"\nskew_ms = 6',
            "lab.toml:5: `replication.clock_skews[1].region`: the clock of us-west-2 is set already",
        ),
        (
            '[[replication.clock_skews]]\nregion = "us-west-2"\nskew_ms = "5"',
            "lab.toml:3: `replication.clock_skews[0].skew_ms`: expected a whole number, got '5'",
        ),
        (
            '[[replication.clock_skews]]\nregion = "us-west-2"\nskew_ms = 100000000',
            "lab.toml:3: `replication.clock_skews[0].skew_ms`: expected a whole number from -86400000 to 86400000, "
            "got 100000000",
        ),
        ("[a.b]\nc = 1", "lab.toml:1: `a`: unknown key; expected one of "),
        ("seed = 1\nspeed = = 2", "lab.toml:2: not valid TOML: Invalid value"),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_was_expected(tmp_path: Path, text: str, message: str) -> None:
    told = mistake(tmp_path, text)
    assert told == message or (message.endswith("one of ") and told.startswith(message))


WRONG = [
    "{}",
    "[]",
    "[[]]",
    "[{}]",
    "{ a = 1 }",
    '""',
    '"\u00e9"',
    "-1",
    "1e300",
    "1.5",
    "true",
    "nan",
    "inf",
    "07:32:00",
]
HEADERS = {
    "": "",
    "ports": "[ports]",
    "replication": "[replication]",
    "lags": "[[replication.lags]]",
    "clock_skews": "[[replication.clock_skews]]",
    "accelerator": "[accelerator]",
    "places": "[[places]]",
    "round_trips": "[[round_trips]]",
    "functions": "[[functions]]",
    "tables": "[[tables]]",
    "health_check": "[health_check]",
}
MODELS = {
    "": schema.LabModel,
    "ports": schema.PortsModel,
    "replication": schema.ReplicationModel,
    "lags": schema.PairLagModel,
    "clock_skews": schema.ClockSkewModel,
    "accelerator": schema.AcceleratorModel,
    "places": schema.PlaceModel,
    "round_trips": schema.RoundTripModel,
    "functions": schema.FunctionModel,
    "tables": schema.TableModel,
    "health_check": schema.HealthCheckModel,
}


@pytest.mark.parametrize("table", MODELS)
def test_every_wrong_value_of_every_key_is_told_in_our_own_words(tmp_path: Path, table: str) -> None:
    told = 0
    for key in MODELS[table].model_fields:
        for value in WRONG:
            (tmp_path / "lab.toml").write_text(f"{HEADERS[table]}\n{key} = {value}\n")
            try:
                load_settings(tmp_path)
            except ConfigError as error:
                told += 1
                assert error.line in (1, 2) and error.key
                for word in ("should", "Input", "valid", "None", "True", "ctx", "datetime"):
                    assert word not in str(error).removeprefix(str(tmp_path)), error
    assert told > len(WRONG)


def test_a_place_gets_a_subnet_that_no_other_has(tmp_path: Path) -> None:
    place = '[[places]]\nname = "{}"\nlatitude = 1\nlongitude = 2.5\ncountry = "NO"\ncontinent = "EU"\n'
    found = settings(tmp_path, place.format("oslo") + place.format("bergen"))
    topology = make_topology(found, run_dir="/run")
    assert len({place.subnet for place in topology.places}) == len(topology.places)


def test_a_place_that_exists_is_refused(tmp_path: Path) -> None:
    text = '[[places]]\nname = "dublin"\nlatitude = 1\nlongitude = 2\ncountry = "NO"\ncontinent = "EU"\n'
    assert mistake(tmp_path, text) == "lab.toml:2: `places[0].name`: there is a place dublin already"


def test_a_route_of_two_functions_is_refused(tmp_path: Path) -> None:
    text = '[[functions]]\nname = "a"\nroutes = ["GET /x"]\n[[functions]]\nname = "b"\nroutes = ["GET /x"]\n'
    assert mistake(tmp_path, text) == "lab.toml:6: `functions[1].routes`: GET /x is a route of a already"


def test_round_trips_name_regions_and_places_that_exist(tmp_path: Path) -> None:
    text = '[[round_trips]]\nsource = "dublim"\ntarget = "us-east-1"\nround_trip_ms = 3.5\n'
    assert mistake(tmp_path, text).startswith(
        "lab.toml:2: `round_trips[0].source`: no region or place 'dublim': did you"
    )


def test_options_win_over_the_file(tmp_path: Path) -> None:
    found = override(settings(tmp_path, "speed = 2"), regions="eu-west-1, eu-central-1", block="127.33", speed=9)
    assert (found.regions, found.block, found.speed) == (("eu-west-1", "eu-central-1"), "127.33", 9)


@pytest.mark.parametrize("block", ["10.1", "127", "127.300", "127.1.2", "127.x"])
def test_a_block_that_is_not_one_is_refused(tmp_path: Path, block: str) -> None:
    with pytest.raises(UserError, match="not a block of loopback addresses"):
        override(Settings(tmp_path), block=block)


def test_the_project_is_the_nearest_folder_upwards_with_a_lab_toml(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert project_folder(tmp_path / "a" / "b") == tmp_path


def test_a_folder_of_handlers_without_routes_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "mine" / "orders").mkdir(parents=True)
    (tmp_path / "mine" / "orders" / "app.py").write_text("")
    with pytest.raises(UserError, match=r'name = "orders"'):
        make_plan(override(Settings(tmp_path), handlers=tmp_path / "mine"))


def test_a_function_without_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "handlers").mkdir()
    with pytest.raises(UserError, match=r"function orders: no folder .*/handlers/orders"):
        make_plan(settings(tmp_path, '[[functions]]\nname = "orders"'))


def test_a_plan_checks_the_health_route_or_the_first_that_can_be_called(tmp_path: Path) -> None:
    (tmp_path / "handlers" / "a").mkdir(parents=True)
    routes = '[[functions]]\nname = "a"\nroutes = ["POST /p", "GET /p/{id}", "GET /q"%s]'
    first = make_plan(settings(tmp_path, routes % "")).health_check
    second = make_plan(settings(tmp_path, routes % ', "GET /health"')).health_check
    assert first is not None and second is not None
    assert (first.path, second.path) == ("/q", "/health")


def test_lines_are_found_through_comments_strings_and_nested_values() -> None:
    text = '''# comment
a = """
b = 1
"""
[t] # table
"q k".sub = [ # list
  "[x]", { y = 1 },
]
c.d = 2
[[l]]
e = 1
[l.m]
f = '# not a comment'
[[l]]
e = 2
'''
    tomllib.loads(text)
    lines = key_lines(text)
    assert lines == {
        ("a",): 2,
        ("t",): 5,
        ("t", "q k"): 6,
        ("t", "q k", "sub"): 6,
        ("t", "c"): 9,
        ("t", "c", "d"): 9,
        ("l",): 10,
        ("l", 0): 10,
        ("l", 0, "e"): 11,
        ("l", 0, "m"): 12,
        ("l", 0, "m", "f"): 13,
        ("l", 1): 14,
        ("l", 1, "e"): 15,
    }
    assert line_of(lines, ("l", 1, "absent", 3)) == 14


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("functions = []", "no function in {file} has a route, and API Gateway has no API without one"),
        ('[[functions]]\nname = "a"', "no function in {file} has a route"),
        (
            '[health_check]\npath = "/ready"\n[[functions]]\nname = "a"\nroutes = ["POST /ready", "GET /ready/{id}"]',
            "{file}: `health_check.path`: no function has a route GET /ready: it has to be one of the API's routes",
        ),
    ],
)
def test_what_cannot_be_deployed_is_told_before_anything_starts(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "handlers" / "a").mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        make_plan(settings(tmp_path, text))
    assert str(caught.value).startswith(message.format(file=tmp_path / "lab.toml"))


@pytest.mark.parametrize("route", ["GET /a/b", "ANY /a/b", "GET /a/{id}", "GET /{proxy+}", "GET /a/{proxy+}"])
def test_a_health_check_may_call_whatever_has_a_route(tmp_path: Path, route: str) -> None:
    (tmp_path / "handlers" / "a").mkdir(parents=True)
    plan = make_plan(
        settings(tmp_path, f'[health_check]\npath = "/a/b"\n[[functions]]\nname = "a"\nroutes = ["{route}"]')
    )
    assert plan.health_check is not None and plan.health_check.path == "/a/b"


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_bytes(b"\xef\xbb\xbfspeed = 2\r\nseed = 7\r\n")
    found = load_settings(tmp_path)
    assert (found.speed, found.seed) == (2, 7)


def test_a_pipe_in_the_place_of_the_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lab.toml")
    with pytest.raises(ConfigError, match="this is a pipe or a device"):
        load_settings(tmp_path)


def test_a_domain_that_leaves_no_room_for_names_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a domain name"):
        settings(tmp_path, f'domain = "{"a." * 120}test"')
