"""Imports point one way (core <- sweeps, core <- analysis) and down the layers of each package."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("lvae_core", "sweeps", "analysis")

# Layers of a package, lowest first. A part is a folder, or a module directly in the package; "" is the
# package's own __init__.py, which offers the Python API. A module imports from lower layers or from its own
# part. Add a new part here.
LAYERS: dict[str, tuple[set[str], ...]] = {
    "lvae_core": (
        {"environment", "errors", "fields"},
        {"combinations"},
        {"config", "messages", "rng", "rough_scoring", "storage"},
        {"systems"},
        {"kl_annealing", "parents", "protocols"},
        {"identity"},
        {"system_names"},
        {"run_folder", "settings"},
        {"arguments", "command", "wandb_login"},
        {"data"},
        {"model"},
        {"evaluation"},
        {"training"},
        {"api"},
        {"cli", ""},
        {"__main__"},
    ),
    "sweeps": (
        {"guardian"},
        {"", "cluster", "planning"},
        {"options", "outcome", "checks"},
        {"packing"},
        {"launching"},
        {"wandb_mirror"},
        {"sweep"},
        {"trials"},
        {"grid_options"},
        {"paper_grid", "search", "doctor", "wandb_push", "runs"},
    ),
    "analysis": (
        {"published"},
        {"reading"},
        {"stats"},
        {"tables"},
        {"figures"},
        {"report"},
        {"formats"},
        {"jobs", "options"},
        {"api", "summarize", "wandb_report"},
        {""},
    ),
}
CORE_MAY_IMPORT = {"torch", "numpy", "lvae_core"} | sys.stdlib_module_names
TORCH_FREE = {
    "environment",
    "errors",
    "fields",
    "ranges",
    "config",
    "kl_annealing",
    "parents",
    "protocols",
    "rough_scoring",
    "identity",
    "messages",
    "settings",
    "systems",
    "system_names",
    "arguments",
    "command",
    "wandb_login",
}
TORCH_FREE |= {"run_folder", "storage"}
"""Parts of the core that need neither torch nor numpy, and that analysis may import."""


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    top_level: bool
    """True if the statement is executed when the file is imported."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.module}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@functools.cache
def imports_of(path: Path) -> tuple[Import, ...]:
    return tuple(_imports_of(path))


def _imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    inside_functions = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
            # `from package import module` imports the module, `from module import name` does not.
            names = [f"{base}.{a.name}" if is_module(f"{base}.{a.name}") else base for a in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
        for found in names:
            yield Import(str(path.relative_to(ROOT)), node.lineno, found, id(node) not in inside_functions)


FILES = {package: sorted((ROOT / package).rglob("*.py")) for package in PACKAGES}


@functools.cache  # read by the tests, not while they are collected, which every worker does
def imports() -> dict[str, list[Import]]:
    return {module_name(p): list(imports_of(p)) for files in FILES.values() for p in files}


def part_of(name: str) -> str:
    """lvae_core.data.corpus -> data; lvae_core -> ''."""
    return ".".join(name.split(".")[1:2])


def inner_imports(package: str) -> Iterator[tuple[str, str, Import]]:
    """Yield (importing part, imported part, import) for every import within a package."""
    for name, found in imports().items():
        if name.split(".")[0] == package:
            for item in found:
                if item.module.split(".")[0] == package:
                    yield part_of(name), part_of(item.module), item


def test_source_files_and_their_imports_are_found():
    assert all(len(files) >= 1 for files in FILES.values())
    assert len(imports()["lvae_core.training.trainer"]) > 10
    assert any(i.module == "lvae_core.model.layers.lstm" for i in imports()["lvae_core.model.lstm_decoder"])


def test_the_core_imports_torch_numpy_and_the_standard_library_only():
    wrong = [
        str(item)
        for path in FILES["lvae_core"]
        for item in imports_of(path)
        if item.module.split(".")[0] not in CORE_MAY_IMPORT
    ]
    lazy = [
        item
        for module, library in (("storage/fsspec_store.py", "fsspec"), ("wandb_login.py", "wandb"))
        for item in imports_of(ROOT / "lvae_core" / module)
        if item.module.split(".")[0] == library
    ]
    assert len({item.file for item in lazy}) == 2, "they read object stores, and log in to W&B"
    assert not any(item.top_level for item in lazy), "imported only when a URL or the user needs it"
    assert wrong == [str(item) for item in lazy]


def test_modules_that_read_finished_runs_import_no_torch():
    wrong = [
        str(item)
        for path in FILES["lvae_core"]
        if part_of(module_name(path)) in TORCH_FREE
        for item in imports_of(path)
        if item.module.split(".")[0] in ("torch", "numpy")
    ]
    assert wrong == []


def test_analysis_imports_only_torch_free_parts_of_the_core():
    wrong = []
    for path in FILES["analysis"]:
        for item in imports_of(path):
            top = item.module.split(".")[0]
            if top in ("torch", "sweeps", "ray") or (
                top == "lvae_core" and part_of(item.module) not in TORCH_FREE
            ):
                wrong.append(str(item))
    assert wrong == []


def test_sweeps_and_analysis_are_imported_only_by_themselves():
    wrong = []
    for package in PACKAGES:
        for path in FILES[package]:
            for item in imports_of(path):
                top = item.module.split(".")[0]
                # A search ends with a table and a picture, which analysis makes. It and a grid need as many
                # seeds as the test of the report.
                needs_report = path.relative_to(ROOT) in (
                    Path("sweeps/planning/significance.py"),
                    Path("sweeps/search.py"),
                    Path("sweeps/trials/budget.py"),
                    Path("sweeps/trials/options.py"),
                    Path("sweeps/trials/report.py"),
                )
                report = needs_report and top == "analysis"
                if top in ("sweeps", "analysis") and top != package and not report:
                    wrong.append(str(item))
    assert wrong == []


@pytest.mark.parametrize("package", LAYERS)
def test_every_part_has_a_layer(package):
    parts = {part_of(name) for name in imports() if name.split(".")[0] == package}
    assert parts == set().union(*LAYERS[package]), "add a new part to LAYERS, above what it imports"


@pytest.mark.parametrize("package", LAYERS)
def test_modules_import_only_from_lower_layers(package):
    level = {name: k for k, layer in enumerate(LAYERS[package]) for name in layer}
    wrong = [str(where) for a, b, where in inner_imports(package) if a != b and level[b] >= level[a]]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_there_are_no_import_cycles(package):
    graph = {
        name: {i.module for i in found if i.top_level and i.module in imports() and i.module != name}
        for name, found in imports().items()
        if name.split(".")[0] == package
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def loaded_by(*statements: str) -> list[set[str]]:
    """The top-level modules that one fresh interpreter has loaded after each of some statements."""
    loaded = "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    script = "\n".join(["import sys", *(f"{statement}; {loaded}" for statement in statements)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_a_plan_and_a_refusal_wait_for_neither_ray_nor_torch_and_a_driver_loads_no_torch():
    plan, driver = loaded_by("import sweeps.paper_grid, sweeps.search", "import sweeps.launching.launch")
    assert plan & {"ray", "torch"} == set()
    assert {"ray", "sweeps", "lvae_core"} <= driver
    assert "torch" not in driver


def test_the_torch_free_core_loads_neither_torch_nor_numpy_and_training_neither_ray_nor_pandas():
    core, training = loaded_by(
        "import lvae_core, lvae_core.config, lvae_core.storage.store, lvae_core.run_folder.folder",
        "import lvae_core.training.trainer, lvae_core.__main__",
    )
    assert core & {"torch", "numpy", "fsspec"} == set()
    assert "torch" in training
    assert training & {"ray", "pandas", "rich", "tyro", "fsspec", "sweeps", "analysis"} == set()
