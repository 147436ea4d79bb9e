"""The house rules that no linter holds: the public surface, light imports, documents that say what is so."""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import anyio
import pytest
import typer.main

import neuralbox
from neuralbox._cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "neuralbox"
PUBLIC_MODULES = [
    name
    for name in (
        "neuralbox",
        "neuralbox.gateway",
        "neuralbox.geminigen",
        "neuralbox.mcp",
        "neuralbox.otel",
        "neuralbox.ray",
        "neuralbox.sandbox",
        "neuralbox.sync",
        "neuralbox.testing",
    )
    if (ROOT / name.replace(".", "/")).with_suffix(".py").exists() or (ROOT / name.replace(".", "/")).is_dir()
]

# What the package is written like.


@pytest.fixture(scope="module")
def trees() -> Iterator[dict[Path, list[ast.AST]]]:
    """The nodes of every module of the package, each parsed once for all that is asked of it, and gone after this file."""
    # Searches for garbage would go through all nodes of the modules before, again and again.
    gc.disable()
    try:
        yield {path: [*ast.walk(ast.parse(path.read_bytes()))] for path in sorted(PACKAGE.rglob("*.py"))}
    finally:
        gc.enable()


# The public surface.


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_public_names_are_there_and_complete(name: str) -> None:
    module = importlib.import_module(name)
    exported = module.__all__  # its order is ruff's RUF022
    assert len(set(exported)) == len(exported)
    assert [missing for missing in exported if not hasattr(module, missing)] == []
    assert [name for name in public_names_of(module) if name not in exported] == []


def test_a_name_the_package_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'neuralbox' has no attribute 'NeuralBocks'"):
        neuralbox.NeuralBocks  # noqa: B018 - reading it is the test
    assert set(neuralbox.__all__) <= set(dir(neuralbox))


def public_names_of(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations":
            yield name


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_every_public_class_function_and_method_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    assert [path for path, value in documented_things(module) if not inspect.getdoc(value)] == []


def documented_things(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            yield name, value
            for member, method in vars(value).items():
                # What a caller can call or read; attributes may be documented in one place, with their class.
                of_class = f"\n    {member}: " in (inspect.getdoc(value) or "")
                if not member.startswith("_") and (
                    inspect.isfunction(method) or (isinstance(method, property) and not of_class)
                ):
                    yield f"{name}.{member}", method
        elif inspect.isfunction(value):
            yield name, value


def test_each_resource_method_names_its_source_or_is_made_of_ones_that_do() -> None:
    unsourced = [
        f"{resource.__name__}.{name}"
        for resource in resources()
        for name, method in vars(resource).items()
        if inspect.iscoroutinefunction(method) and not name.startswith("_") and "Source:" not in (method.__doc__ or "")
    ]
    assert set(unsourced) <= {"Generations.wait", "Files.download"}


def resources() -> Iterator[type]:
    for path in sorted((PACKAGE / "_resources").glob("[a-z]*.py")):
        module = importlib.import_module(f"neuralbox._resources.{path.stem}")
        for value in vars(module).values():
            if inspect.isclass(value) and value.__module__ == module.__name__ and value.__name__.lower() == path.stem:
                yield value


# Light imports.


def run_python(code: str) -> str:
    """Run code in a fresh process with warnings as errors and return what it printed."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, check=True, text=True)
    return done.stdout


def test_import_loads_nothing_beyond_its_dependencies_and_starts_nothing() -> None:
    code = """
import json, sys, threading
import anyio, httpcore2, httpx, pydantic
before = set(sys.modules)
from neuralbox import AsyncNeuralBox
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps([sorted(new - set(sys.stdlib_module_names)), threading.active_count()]))
"""
    loaded, threads = json.loads(run_python(code))
    assert {name for name in loaded if not name.startswith("_sysconfigdata")} <= {"neuralbox", *RUNTIME}
    assert threads == 1


# What the runtime dependencies may load themselves; none of it is an extra of ours.
RUNTIME = {
    "annotated_types",
    "anyio",
    "certifi",
    "h11",
    "httpcore2",
    "httpx",
    "idna",
    "pydantic",
    "pydantic_core",
    "truststore",
}


def test_help_loads_no_http_library_and_nothing_of_the_sandbox() -> None:
    code = """
import json, sys
from neuralbox._cli import main
sys.argv = ["neuralbox", "--help"]
try:
    main()
except SystemExit:
    pass
names = "httpx", "pydantic", "anyio", "neuralbox.sandbox", "neuralbox._demo", "aiohttp", "starlette", "uvicorn", "PIL", "av"
print("\\n" + json.dumps([name for name in names if name in sys.modules]))
"""
    assert json.loads(run_python(code).splitlines()[-1]) == []


# Documents.


def test_the_newest_version_of_the_changelog_is_the_package_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == neuralbox.__version__


def test_the_guide_names_every_command_and_the_readme_every_environment_variable() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "guides" / "command-line.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    commands: list[str] = list(group.commands)  # type: ignore[attr-defined]  # typer types a group as a command
    assert [name for name in commands if f"neuralbox {name}" not in guide] == []
    variables = set(re.findall(r"NEURALBOX_[A-Z_]+", (PACKAGE / "_config.py").read_text(encoding="utf-8")))
    assert variables
    assert [name for name in sorted(variables) if name not in readme] == []


@pytest.mark.parametrize("name", ["_config.py", "_errors.py", "_core/exchange.py", "_client.py"])
def test_modules_open_with_a_paragraph(name: str) -> None:
    assert ast.get_docstring(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))


def test_no_file_names_a_machine_path_or_a_package_index() -> None:
    # Put together here so that this file does not hold what it looks for.
    banned = [
        "/" + "work/",
        "/" + "root/",
        "/" + "home/",
        "--index" + "-" + "url",
        "pypi" + ".org",
        "python" + "hosted",
    ]
    found = [
        (str(path.relative_to(ROOT)), word)
        for path in text_files()
        for word in banned
        if word in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []


def text_files() -> Iterator[Path]:
    """What a clone holds, or comes to hold: everything but hidden folders and what is built."""
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and path.name not in {".coverage", ".git"}:
            yield path
    for folder in (".ci", "benchmarks", "neuralbox", "scripts", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in {"", ".py", ".json", ".md", ".toml", ".txt", ".sse"}:
                yield path


# Names.


def test_no_class_name_stands_twice_in_the_package(trees: dict[Path, list[ast.AST]]) -> None:
    places: dict[str, list[str]] = {}
    for path, nodes in trees.items():
        if path == PACKAGE / "sync" / "_generated.py":
            continue  # the blocking classes bear the names of the async ones on purpose
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


# Borders.


@pytest.mark.parametrize("depth", [2, 3, 4], ids=["folders", "folders in them", "modules"])
def test_no_import_leads_back_to_where_it_stands(imports_of_the_package: dict[str, set[str]], depth: int) -> None:
    """Imports for types and those inside functions included; import-linter sees no circle within one layer."""
    parts: dict[str, set[str]] = {}
    for name, imported in imports_of_the_package.items():
        part = shortened(name, depth)
        parts.setdefault(part, set()).update({shortened(each, depth) for each in imported} - {part})
    TopologicalSorter(parts).prepare()  # names the circle it finds


def test_a_circle_of_imports_would_be_found(imports_of_the_package: dict[str, set[str]]) -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()
    imported = imports_of_the_package
    assert "neuralbox._polling.poller" in imported["neuralbox._polling.listing"], "relative to its folder"
    assert "neuralbox._raw" in imported["neuralbox._client"], "for types, and inside a function"
    assert "neuralbox._api.vocabulary" in imported["neuralbox.sandbox._app"], "a module of a folder above"


def test_no_private_name_of_one_part_is_used_by_another(trees: dict[Path, list[ast.AST]]) -> None:
    """A part is a folder or a module of the package's root; a name of its own that others need gets a function."""
    written = {path: nodes for path, nodes in trees.items() if path != PACKAGE / "sync" / "_generated.py"}
    owners: dict[str, set[str]] = {}
    for path, nodes in written.items():
        for name in private_names_made_in(nodes):
            owners.setdefault(name, set()).add(part_of(path))
    offenders = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, nodes in written.items()
        for name, line in private_names_taken_in(nodes)
        if name in owners and part_of(path) not in owners[name] and not is_of_a_library(name, path)
    ]
    assert offenders == []


def test_what_a_message_advises_is_right_for_both_clients(trees: dict[Path, list[ast.AST]]) -> None:
    """The blocking client raises the same errors, and in its programs `await` and `async for` are no syntax."""
    offenders = []
    for path, nodes in trees.items():
        documentation = {node.value for node in nodes if isinstance(node, ast.Expr)}
        offenders += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation
            if path.parent.name != "_codegen"
            if re.search(r"`(await|async for|AsyncNeuralBox\()|(?<!`with` or )`async with", node.value)
        ]
    assert offenders == []


def is_of_a_library(name: str, path: Path) -> bool:
    """Whether it is a named tuple's, or of an HTTP library, into which the transport alone reaches."""
    return name in {"_fields", "_make", "_replace"} or part_of(path) == "_transport"


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names_made_in(nodes: Sequence[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            name = node.attr
        else:
            continue
        if is_private(name):
            yield name


def private_names_taken_in(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, int]]:
    """Private names that are imported from a module, or read of what is not the own object."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node.value):
            yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module is not None:  # else it is a module
            yield from ((alias.name, node.lineno) for alias in node.names if is_private(alias.name))


def is_own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def shortened(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:depth])


@pytest.fixture(scope="module")
def imports_of_the_package(trees: dict[Path, list[ast.AST]]) -> dict[str, set[str]]:
    """Which modules of the package each of them imports, wherever the import stands."""
    paths = {path: path.relative_to(ROOT).with_suffix("") for path in trees}
    names = {path: ".".join(file.parts).removesuffix(".__init__") for path, file in paths.items()}
    modules = set(names.values())
    found: dict[str, set[str]] = {}
    for path, name in names.items():
        imported = set[str]()
        for node in trees[path]:
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = paths[path].parts[: -node.level] if node.level else ()
                source = ".".join([*above, *([node.module] if node.module else [])])
                whole = [f"{source}.{alias.name}" for alias in node.names]
                imported.update(each if each in modules else source for each in whole)
        found[name] = imported & modules - {name}
    return found


def test_the_sandbox_never_imports_the_package_it_stands_in_for(trees: dict[Path, list[ast.AST]]) -> None:
    # import-linter forbids the client's modules; the package root, which exports the client, it cannot forbid.
    offenders: list[str] = []
    for path in (PACKAGE / "sandbox").rglob("*.py"):
        depth = len(path.relative_to(PACKAGE).parts)
        for node in trees[path]:
            if isinstance(node, ast.Import):
                offenders += [path.name for alias in node.names if alias.name == "neuralbox"]
            elif isinstance(node, ast.ImportFrom):
                is_root = node.module == "neuralbox" or (node.module is None and node.level == depth)
                offenders += [path.name] * is_root
    assert offenders == []


def test_a_test_cannot_leave_this_machine() -> None:
    with socket.socket() as leaving, pytest.raises(RuntimeError, match="loopback"):
        leaving.connect(("192.0.2.1", 80))
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("example.com", 80)


@pytest.mark.anyio
async def test_a_test_reaches_its_own_machine() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("localhost", port):
            pass
