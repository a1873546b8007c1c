"""Who may import whom, read from the syntax tree and from fresh processes."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("adapter_runtime", "serving", "deploy")
LEVELS = {
    "sites": 0,
    "limits": 0,
    "compositions": 0,
    "types": 0,
    "errors": 0,
    "config": 0,
    "ledger": 0,
    "memory": 0,
    "reports": 0,
    "sources": 1,
    "backbone": 2,  # it loads from a Source's folder
    "methods": 3,
    "heads": 3,
    "checkpoint": 4,
    "residency": 5,
    "engine": 6,
    "facade": 7,
}
"""The rooms of the runtime; a module imports its own room and lower levels only."""

COMPARED = {"adapters", "peft", "sentence_transformers"}
"""Libraries that we are measured against, and must never need."""


class Import(NamedTuple):
    """One import statement: who, what (`package.module` and the names taken from it), where."""

    importer: str
    module: str
    names: tuple[str, ...]
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module} ({', '.join(self.names)})"


def module_name(path: Path) -> str:
    """`a/b/c.py` as `a.b.c`; a package is named without `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(package: str) -> Iterator[Import]:
    """Every import statement in a package, those inside functions and type blocks included."""
    for path in sorted((ROOT / package).rglob("*.py")):
        importer = module_name(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (Import(importer, name.name, (), node.lineno) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{importer}:{node.lineno} imports relatively"
                names = tuple(name.name for name in node.names)
                yield Import(importer, node.module or "", names, node.lineno)


IMPORTS = {package: tuple(imports_of(package)) for package in PRODUCT}


def is_package(module: str) -> bool:
    """Whether a module of ours is a package's `__init__`."""
    return ROOT.joinpath(*module.split("."), "__init__.py").exists()


def room(module: str) -> str | None:
    """The room of a runtime module; None for the package itself and foreign modules."""
    parts = module.split(".")
    return parts[1] if parts[0] == "adapter_runtime" and len(parts) > 1 else None


def climbs(entry: Import) -> bool:
    """Whether a runtime module imports a room beside or above its own."""
    here, there = room(entry.importer), room(entry.module)
    if here is None or there is None or here == there:
        return False
    return LEVELS[there] >= max(LEVELS[here], 1)


def test_every_room_has_a_level() -> None:
    """A new room must be given its place before it is built."""
    assert set(LEVELS) >= {
        name for entry in IMPORTS["adapter_runtime"] if (name := room(entry.importer))
    }


def test_runtime_rooms_import_lower_rooms_only() -> None:
    """Inside the runtime imports go one way."""
    assert [] == [str(entry) for entry in IMPORTS["adapter_runtime"] if climbs(entry)]


def test_no_files_import_each_other() -> None:
    """Not around any corner, and not for a type's name alone; packages only hand names on."""
    entries = [entry for package in PRODUCT for entry in IMPORTS[package]]
    files = {entry.importer for entry in entries}
    graph: dict[str, set[str]] = {file: set() for file in files}
    for entry in entries:
        taken = {entry.module, *(f"{entry.module}.{name}" for name in entry.names)}
        graph[entry.importer] |= {file for file in taken & files if not is_package(file)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", ("methods", "heads"))
def test_methods_and_heads_do_not_know_each_other(name: str) -> None:
    """Only a room's table knows its kinds, and a file format's reader those that it can hold."""
    table = f"adapter_runtime.{name}.table"
    within = [entry for entry in IMPORTS["adapter_runtime"] if room(entry.importer) == name]
    kinds = {
        entry.module for entry in within if entry.importer == table and room(entry.module) == name
    }
    kinds -= {f"adapter_runtime.{name}.base"}
    assert kinds, f"{table} lists no kinds"
    wrong = [
        str(entry)
        for entry in within
        if entry.importer != table
        and not entry.importer.endswith("_files")
        and entry.module in {*kinds, table}
    ]
    assert [] == wrong


@pytest.mark.parametrize("package", ("serving", "deploy"))
def test_servers_take_only_what_the_runtime_exports(package: str) -> None:
    """The runtime's package is the whole contract with what serves it."""
    import adapter_runtime

    exported = set(adapter_runtime.__all__)
    wrong = [
        str(entry)
        for entry in IMPORTS[package]
        if entry.module.split(".")[0] == "adapter_runtime"
        and (entry.module != "adapter_runtime" or not exported.issuperset(entry.names))
    ]
    assert [] == wrong


@pytest.mark.parametrize(
    ("package", "forbidden"),
    (
        (
            "adapter_runtime",
            {"serving", "deploy", "ray", "fastapi", "prometheus_client", *COMPARED},
        ),
        ("serving", {"torch", "transformers", "ray", "deploy", *COMPARED}),
        ("deploy", {"torch", "transformers", *COMPARED}),
    ),
)
def test_packages_keep_to_their_libraries(package: str, forbidden: set[str]) -> None:
    """The runtime knows no server; the server knows no torch; only deploy knows Ray."""
    wrong = [str(entry) for entry in IMPORTS[package] if entry.module.split(".")[0] in forbidden]
    assert [] == wrong


def test_only_ray_serve_knows_ray() -> None:
    """Another way to deploy needs none of it."""
    wrong = [
        str(entry)
        for entry in IMPORTS["deploy"]
        if entry.module.split(".")[0] == "ray"
        and not entry.importer.startswith("deploy.ray_serve.")
    ]
    assert [] == wrong


def test_options_and_rules_of_ray_serve_know_no_ray() -> None:
    """What can be wrong is found before Ray is loaded, and rules are tested as tables."""
    pure = {"affinity", "merging", "options", "retrying"}
    importers = {f"deploy.ray_serve.{name}" for name in pure}
    assert importers <= {entry.importer for entry in IMPORTS["deploy"]}
    wrong = [
        str(entry)
        for entry in IMPORTS["deploy"]
        if entry.importer in importers and entry.module.split(".")[0] == "ray"
    ]
    assert [] == wrong


def test_protocols_know_the_service_and_not_what_is_behind_it() -> None:
    """Whatever answers Calls can stand behind every wire protocol."""
    behind = {"batch", "catalog", "copying", "hot_service", "jobs", "lifecycle", "listening"}
    behind |= {"local_service", "opening", "pipeline", "scheduler", "workers"}
    wrong = [
        str(entry)
        for entry in IMPORTS["serving"]
        if entry.importer.startswith("serving.protocols")
        and entry.module.startswith("serving.")
        and entry.module.split(".")[1] in behind
    ]
    assert [] == wrong


def test_the_batching_policy_has_no_clock_and_no_threads() -> None:
    """Time comes in as a value, so the policy is tested as a table."""
    policy = [entry for entry in IMPORTS["serving"] if entry.importer == "serving.scheduler.policy"]
    taken = {entry.module.split(".")[0] for entry in policy}
    assert policy
    assert set() == taken & {"asyncio", "concurrent", "queue", "threading", "time"}


def test_every_imported_library_is_declared() -> None:
    """Nothing works only because another package happens to bring it along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {
        distribution(text)
        for text in (
            *project["dependencies"],
            *(text for name in ("grpc", "otel", "parquet", "ray") for text in extras[name]),
        )
    }
    owners = packages_distributions()
    foreign = {entry.module.split(".")[0] for entries in IMPORTS.values() for entry in entries}
    foreign -= {*sys.stdlib_module_names, *PRODUCT}
    missing = {
        name
        for name in foreign
        if declared.isdisjoint(distribution(owner) for owner in owners.get(name, ()))
    }
    assert set() == missing


def distribution(text: str) -> str:
    """The comparable name of a distribution from a requirement such as `a-b[c]>=1`."""
    name = text.split("[")[0].split(">")[0].split("=")[0].split("<")[0]
    return name.strip().lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize(
    "code",
    (
        "import deploy.ray_serve.application",
        "import deploy.ray_serve.config",
        "import deploy.ray_serve.ingress",
    ),
)
def test_what_ray_loads_outside_engine_replicas_has_no_torch(code: str) -> None:
    """An ingress, the builder of the application and the controller stay small."""
    assert [] == heavy_after(code, {"torch", "transformers"})


@pytest.mark.parametrize(
    "code",
    (
        "import adapter_runtime",
        "import serving.cli",
        "import serving.app",
        "import deploy.ray_serve.options",
        "import deploy.ray_serve.launcher",
        "import sys; sys.argv = ['polyhead', '--help']; import serving.cli\n"
        "try: serving.cli.main()\nexcept SystemExit: pass",
    ),
)
def test_help_and_a_thin_ingress_load_no_torch(code: str) -> None:
    """Importing the server or asking for help costs no torch, no transformers, no Ray."""
    assert [] == heavy_after(code, {"torch", "transformers", "ray"})


def heavy_after(code: str, heavy: set[str]) -> list[str]:
    """Which of the libraries are loaded after some code in a fresh process."""
    code += f"\nimport sys\nprint('heavy:', *sorted({heavy!r} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    last = output.stdout.strip().splitlines()[-1]
    assert last.startswith("heavy:")
    return last.split()[1:]
