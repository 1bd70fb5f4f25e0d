"""Who imports whom, read from the source: the rules of the design, and no module that escapes them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import medseg

ROOT = Path(__file__).parents[2]
CORE = ROOT / "medseg"
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if (path / "src").is_dir())

# What a plugin may import of medseg; atomic for formats, whose files appear whole as the core's do, and
# description for importers, which read contracts.
OFFERED = ("plugin", "volume", "geometry", "errors", "testing", "atomic", "memory", "description")
# The chain of the design: a module imports none of a later link.
CHAIN = (
    ("plugin", "errors"),
    ("registry",),
    ("volume", "geometry", "contract", "comparison"),
    ("builtin",),
    ("segmenter", "weights"),
    ("inference",),
    ("segmentation", "loaded", "predict", "training", "evaluation", "batch"),
    ("cli",),
)


def imports_of(path):
    """The modules that a file imports when it runs: not those that only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return sorted(set(_imports(tree)))


def _imports(node):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from _imports(child)


def link_of(module):
    """The place in the chain of ``medseg.x.y``; None for what is not in it."""
    parts = module.split(".")
    if parts[0] != "medseg" or len(parts) < 2:
        return None
    return next((n for n, link in enumerate(CHAIN) if parts[1] in link), None)


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def files(folder):
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("path", files(CORE), ids=module_name)
def test_no_module_imports_a_later_link_of_the_chain(path):
    own = link_of(module_name(path))
    later = [m for m in imports_of(path) if own is not None and (link_of(m) or 0) > own]
    assert later == []


@pytest.mark.parametrize("module", ["plugin", "registry", "fields", "installed", "errors", "progress"])
def test_what_every_plugin_needs_imports_pluggy_and_the_standard_library_alone(module):
    roots = {name.partition(".")[0] for name in imports_of(CORE / f"{module}.py")}
    assert roots <= {"medseg", "pluggy"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", files(CORE), ids=module_name)
def test_the_core_imports_no_plugin_and_no_viewer(path):
    roots = {name.partition(".")[0] for name in imports_of(path)}
    assert [root for root in roots if root.startswith("medseg_") or root in ("ui", "streamlit")] == []


def test_nothing_imports_the_command_line():
    outside = [path for path in files(CORE) if CORE / "cli" not in path.parents]
    importers = [path.name for path in outside if any(m.startswith("medseg.cli") for m in imports_of(path))]
    assert importers == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_what_is_offered_to_it_and_no_other_plugin(plugin):
    own = {path.name for path in (plugin / "src").iterdir()}
    for path in files(plugin / "src"):
        for module in imports_of(path):
            root, _, rest = module.partition(".")
            if root == "medseg":
                assert rest.partition(".")[0] in OFFERED, f"{path.name} imports {module}"
            else:
                assert not root.startswith("medseg_") or root in own, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", files(ROOT / "ui" / "src"), ids=lambda path: path.stem)
def test_the_viewer_uses_public_names_of_medseg_and_what_plugins_use(path):
    names = {name for name in imports_of(path) if name.partition(".")[0].startswith("medseg")}
    public = {f"medseg.{name}" for name in medseg.__all__} | {"medseg"}
    mine = ("medseg_ui", "medseg.plugin.")
    assert [name for name in names if name not in public and not name.startswith(mine)] == []


def test_importing_medseg_imports_no_torch_and_no_numpy():
    code = "import sys, medseg; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
