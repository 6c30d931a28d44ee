"""The import rules of docs/architecture.md, the calls that the core must not make, and no cycles."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ANYTHING = "anything"

MAY_IMPORT: dict[str, set[str] | str] = {
    "lab.cli": ANYTHING,
    "lab.command": {"lab.cli"},
    "lab.compose": ANYTHING,
    "lab.deploy": ANYTHING,
    "lab.drills": ANYTHING,
    "lab.testing": ANYTHING,
    "lab.pytest_plugin": ANYTHING,
    "lab.control.console": ANYTHING,
    "lab.localstack_plugin": {"lab.core", "lab.errors", "lab.live"},
    "lab.report": {"lab.core", "lab.errors"},
    "lab.doctor": {"lab.core", "lab.errors"},
    "lab.supervisor": {"lab.core", "lab.errors", "lab.live"},
    "lab.config": {"lab.core", "lab.data", "lab.errors"},
    "lab.control": {"lab.core", "lab.data", "lab.errors", "lab.live", "lab.engines"},
    "lab.live": {"lab.core", "lab.data", "lab.errors", "lab.engines"},
    "lab.engines": {"lab.core", "lab.data", "lab.errors"},
    "lab.sim": {"lab.core", "lab.data", "lab.errors"},
    "lab.data": {"lab.core"},
    "lab.core": {"lab.errors"},
    "lab.errors": set(),
}
"""What each package may import of the lab besides itself; the longest prefix that fits a module counts."""

PURE = {
    *("__future__", "abc", "base64", "binascii", "bisect", "collections", "colorsys", "copy", "csv", "dataclasses"),
    *("datetime", "decimal", "difflib", "email", "enum", "fnmatch", "fractions", "functools", "gzip", "hashlib"),
    *("heapq", "hmac", "html", "http", "io", "ipaddress", "itertools", "json", "math", "operator", "random", "re"),
    *("statistics", "string", "struct", "textwrap", "types", "typing", "unicodedata", "urllib", "uuid", "zlib"),
    *("signal", "xml"),  # a signal's number is a value; raising or catching one is not
}
IMPURE_SUBMODULES = {"urllib.request", "http.client", "http.server"}
BANNED_CALLS = {
    *("open", "print", "input", "exec", "eval", "breakpoint", "uuid.uuid1", "uuid.uuid4"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "datetime.datetime.now", "datetime.datetime.utcnow"),
    *("datetime.datetime.today", "date.today", "datetime.date.today"),
    *("random.random", "random.randint", "random.choice", "random.choices", "random.shuffle", "random.sample"),
    *("random.uniform", "random.randrange", "random.gauss", "random.getrandbits", "random.seed", "random.expovariate"),
    *("random.SystemRandom", "signal.signal", "signal.alarm", "signal.raise_signal"),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "lab").rglob("*.py"))}
CORE = {name: path for name, path in MODULES.items() if name == "lab.core" or name.startswith("lab.core.")}


def is_type_checking(node: ast.If) -> bool:
    return "TYPE_CHECKING" in ast.unparse(node.test)


def imports(tree: ast.AST, *, at_import_only: bool = False) -> Iterator[str]:
    """The modules that a file imports, by full name; `from a import b` gives a.b if that is a module, else a."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}: write it in full"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)
        elif at_import_only and (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and is_type_checking(node))
        ):
            continue
        else:
            yield from imports(node, at_import_only=at_import_only)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def package_of(module: str) -> str:
    fitting = [package for package in MAY_IMPORT if module == package or module.startswith(f"{package}.")]
    return max(fitting, key=len, default="")


@pytest.mark.parametrize("module", [name for name in MODULES if name != "lab"])
def test_a_module_imports_only_what_its_package_may(module: str) -> None:
    package = package_of(module)
    assert package, f"{module} is in no package of the architecture; add it to docs/architecture.md and to this test"
    allowed = MAY_IMPORT[package]
    if isinstance(allowed, str):
        return
    for name in imports(parse(MODULES[module])):
        if name.split(".")[0] == "lab" and name != "lab":
            target = package_of(name)
            assert target == package or target in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_only_what_is_pure(module: str) -> None:
    for name in imports(parse(CORE[module])):
        top = name.split(".")[0]
        assert name not in IMPURE_SUBMODULES, f"{module} imports {name}"
        assert top == "lab" or top in PURE, f"{module} imports {name}"


@pytest.mark.parametrize("module", CORE)
def test_the_core_reads_no_clock_no_file_and_no_chance_of_its_own(module: str) -> None:
    for node in ast.walk(parse(CORE[module])):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in BANNED_CALLS, f"{CORE[module]}:{node.lineno} calls {called}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        name: sorted({target for target in imports(parse(path), at_import_only=True) if target in MODULES} - {name})
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for target in graph[module]:
                visit(target, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


HANDLERS = sorted((ROOT / "handlers").rglob("*.py"))


@pytest.mark.parametrize("path", HANDLERS, ids=[str(path.relative_to(ROOT)) for path in HANDLERS])
def test_handlers_import_boto3_and_the_standard_library_only(path: Path) -> None:
    neighbours = {other.stem for other in path.parent.glob("*.py")}
    for name in imports(parse(path)):
        top = name.split(".")[0]
        assert top in {"boto3", "botocore"} | neighbours or top in sys.stdlib_module_names, f"{path} imports {name}"
