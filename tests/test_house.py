"""The rooms and the direction of their imports; environment.yml and the lock against pyproject.toml."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gemvg_repro"

FLOORS = (
    ("grounding",),
    ("files",),
    ("corpora", "benchmarks", "models", "runs"),
    ("training",),
    ("miniature",),
    ("study",),
    ("preflight",),
    ("launching",),
    ("report", "stages"),
)
"""Lowest first: a room imports only from floors below its own, so that no pillar imports another."""

WITHOUT_TORCH = ("grounding", "files", "corpora", "benchmarks", "runs", "study", "launching", "report")
"""The launcher, the report and all that they stand on start in a second, on machines without torch too."""

GROUND = {"numpy", "scipy", "__future__"}


def modules(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def imports(module: Path) -> set[str]:
    """Full names of what a module imports, wherever in it, relative ones resolved."""
    names: set[str] = set()
    parts = module.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            prefix = ".".join(filter(None, [base, node.module]))
            names.update(f"{prefix}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_a_room_imports_only_from_floors_below(floor: tuple[str, ...]) -> None:
    below = {room for rooms in FLOORS[: FLOORS.index(floor)] for room in rooms}
    for room in floor:
        for module in modules(room):
            for name in imports(module):
                package, _, rest = name.partition(".")
                if package == "gemvg_repro":
                    assert rest.partition(".")[0] in below | {room}, f"{module} climbs: {name}"


def test_every_room_is_known() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == {room for floor in FLOORS for room in floor}


def test_grounding_needs_numpy_and_scipy_only() -> None:
    for module in modules("grounding"):
        for name in imports(module):
            top = name.split(".")[0]
            assert top in GROUND | {"gemvg_repro"} or top in sys.stdlib_module_names, f"{module}: {name}"


def test_the_launcher_and_the_report_do_not_import_torch() -> None:
    names = [".".join(m.relative_to(ROOT).with_suffix("").parts) for room in WITHOUT_TORCH for m in modules(room)]
    code = f"import sys, importlib; [importlib.import_module(m) for m in {names}]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def project() -> dict[str, object]:
    content: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return content


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): pinned for name, pinned in pairs}


def test_the_lock_satisfies_pyproject() -> None:
    metadata = project()
    extra = metadata["optional-dependencies"]["dev"]  # type: ignore[index]
    for line in [*metadata["dependencies"], *extra]:  # type: ignore[misc]
        requirement = Requirement(line)
        pinned = locked()[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(pinned), f"{line}: locked is {pinned}"


def test_what_is_installed_is_what_is_locked() -> None:
    for name in ("torch", "transformers", "trl", "numpy", "papermill", "submitit"):
        assert version(name).split("+")[0] == locked()[name]


def test_environment_yml_installs_the_lock_for_the_right_python() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python = next(d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python="))
    assert Requirement(f"python{project()['requires-python']}").specifier.contains(python.removeprefix("python="))
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pip == ["-r requirements.lock", "-e ."]


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_are_thin_and_without_outputs(notebook: Path) -> None:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    assert all(not c["outputs"] and c["execution_count"] is None for c in code)
    for cell in code:
        source = "".join(cell["source"])
        a_line_each = "parameters" in cell["metadata"].get("tags", []) and len(ast.parse(source).body)
        assert len(source.splitlines()) <= (a_line_each or 12)
    assert not any(re.search(r"^\s*(def|class) ", "".join(c["source"]), re.M) for c in code)


def test_readme_links_and_commands_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), f"README.md links to {target}"
    targets = set(re.findall(r"^([a-z.-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for target in re.findall(r"make ([a-z-]+)", text):
        assert target in targets, f"README.md says `make {target}`"
