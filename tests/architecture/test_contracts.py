"""The rules of arrangement that no reviewer should have to remember."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from app.cli import VERSION

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60

#: What a front end may know of the engine.
DOORS = {"api", "model", "events", "commands", "registry_file"}


def sources(*folders: str) -> Iterator[Path]:
    yield ROOT / "prd_tui.py"
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("coordinator", "app", include_external_packages=True, cache_dir=None)


def test_the_engine_knows_no_screen(graph: grimp.ImportGraph) -> None:
    for screen in ("app", "textual", "rich"):
        if screen in graph.modules:
            importers = graph.find_modules_that_directly_import(screen)
            assert not {name for name in importers if name.startswith("coordinator")}
    chains = graph.find_illegal_dependencies_for_layers(layers=["app", "coordinator"])
    assert not chains


def test_front_ends_use_only_the_doors_of_the_engine(graph: grimp.ImportGraph) -> None:
    allowed = {f"coordinator.{name}" for name in DOORS} | {"coordinator"}
    for module in graph.modules:
        if module.startswith("app"):
            used = {
                name
                for name in graph.find_modules_directly_imported_by(module)
                if name.startswith("coordinator")
            }
            assert used <= allowed, f"{module} imports {sorted(used - allowed)}"


def test_the_headless_engine_loads_no_toolkit() -> None:
    heavy = {"textual", "rich", "git", "psutil"}
    code = f"import sys, coordinator.api, coordinator.engine; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_and_functions_stay_small() -> None:
    too_long = []
    for path in sources("app", "coordinator", "styles", "tests"):
        text = path.read_text()
        if text.count("\n") > MAX_FILE_LINES:
            too_long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert not too_long


def test_the_keeper_stands_alone() -> None:
    """It is started as a single file, isolated: nothing of the package may be needed."""
    tree = ast.parse((ROOT / "coordinator" / "keeper.py").read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names


def test_only_the_gateway_runs_git() -> None:
    for path in sources("app", "coordinator"):
        if path.name not in ("git_process.py",):
            assert not re.search(r"\[\s*\"git\"", path.read_text()), f"{path.name} runs git"


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", "."],
        ["mypy", "--cache-dir=/dev/null"],
    ],
    ids=["ruff check", "ruff format", "mypy --strict"],
)
def test_linters_are_clean(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_ci_runs_what_the_readme_says() -> None:
    """`.ci/run` takes its command from the README, so there is nothing to keep in step; it must find one."""
    readme = (ROOT / "README.md").read_text()
    _, _, after = readme.partition("<!-- test command -->")
    block = after.split("```")[1]
    assert "pytest" in block
    assert "README.md" in (ROOT / ".ci" / "run").read_text()
