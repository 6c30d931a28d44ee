"""A handler that does not import is told with its own traceback, and with nothing of the lab's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.deployment import FunctionPlan
from lab.deploy.import_check import check_import
from lab.errors import UserError


def problem(folder: Path, source: str, handler: str = "app.handler") -> str:
    (folder / "app.py").write_text(source)
    with pytest.raises(UserError) as caught:
        check_import(FunctionPlan("orders", str(folder), handler), "us-east-1", "http://127.0.0.1:1", folder)
    return str(caught.value)


def test_a_handler_that_imports_is_fine_and_sees_the_functions_environment(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os, boto3\nassert os.environ['A'] == 'b'\ndef handler(e, c): pass\n")
    plan = FunctionPlan("orders", str(tmp_path), environment={"A": "b"})
    check_import(plan, "us-east-1", "http://127.0.0.1:1", tmp_path)


def test_the_traceback_begins_in_the_handler(tmp_path: Path) -> None:
    (tmp_path / "prices.py").write_text("import no_such_library\n")
    message = problem(tmp_path, "import prices\n")
    assert message == (
        "function orders: the handler does not import\n"
        "Traceback (most recent call last):\n"
        f'  File "{tmp_path}/app.py", line 1, in <module>\n'
        "    import prices\n"
        f'  File "{tmp_path}/prices.py", line 1, in <module>\n'
        "    import no_such_library\n"
        "ModuleNotFoundError: No module named 'no_such_library'"
    )


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    message = problem(tmp_path, "def handler(event, context)\n    pass\n")
    assert f'File "{tmp_path}/app.py", line 1' in message
    assert message.endswith("SyntaxError: expected ':'")
    assert "lab/" not in message.replace(str(tmp_path), "")


def test_a_handler_that_exits_at_import_is_told(tmp_path: Path) -> None:
    assert "SystemExit: enough" in problem(tmp_path, "import sys\nsys.exit('enough')\n")


def test_a_module_or_a_function_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "has no function 'main': the handler is 'app.main'" in problem(tmp_path, "x = 1\n", "app.main")
    assert f"{tmp_path} has no api.py" in problem(tmp_path, "x = 1\n", "api.handler")
