"""Plugins that fail in every way that we could think of, installed side by side with sound ones.

They are real distributions (see conftest.py). One process lists them all, so each test also shows
that no failure hides another.
"""

import json
import os
import re
import textwrap

import pytest

HEADER = "from medseg.plugin import *\nMEDSEG_API = 1\n"
LOSS = 'Loss(name="{}", factory="nowhere:f", summary="A loss")'


def hook(body, name="medseg_losses"):
    return f"{HEADER}@hookimpl\ndef {name}():\n" + textwrap.indent(textwrap.dedent(body), "    ")


# name of the plugin: source of its module, status, what its reason says
FAILURES = {
    # The six ways that the plugin API promises to survive.
    "import-error": ("import a_package_that_is_not_there", "failed", "ModuleNotFoundError: No module named"),
    "system-exit": ("import sys; sys.exit(0)", "failed", "SystemExit: 0"),
    "raising-hook": (hook("raise OSError('no licence server')"), "failed", "OSError: no licence server"),
    "newer-api": ("MEDSEG_API = 99", "incompatible", "plugin API 99, this medseg speaks 1: upgrade medseg"),
    "unknown-hook": (hook("return []", name="medseg_netwroks"), "failed", "unknown hook 'medseg_netwroks'"),
    "linknet": (HEADER, "refused", r"'linknet' is already taken by medseg-linknet [\d.]+; uninstall one"),
    # Others.
    "older-api": ("MEDSEG_API = 0", "incompatible", "plugin API 0, this medseg speaks 1: upgrade the plugin"),
    "no-api": ("", "incompatible", "does not say which plugin API"),
    "text-api": ("MEDSEG_API = '1'", "incompatible", "MEDSEG_API is '1', wanted the integer 1"),
    "syntax-error": ("def f(:", "failed", "SyntaxError: invalid syntax"),
    "keyword-argument": ("raise KeyError('x')", "failed", "KeyError: 'x'"),
    "panic": ("class Panic(BaseException): ...\nraise Panic('in Rust')", "failed", "Panic: in Rust"),
    "generator-exit": ("raise GeneratorExit", "failed", "GeneratorExit"),
    "unprintable": (
        "class Mute(Exception):\n    def __str__(self): raise OSError\nraise Mute",
        "failed",
        "Mute: <exception str.. failed>",
    ),
    "many-lines": (
        "raise ValueError('line 1\\nline 2\\r\\n[red]line 3')",
        "failed",
        r"line 1 line 2 \[red\]line 3$",
    ),
    "returns-none": (hook("return None"), "failed", "medseg_losses returned None; it must return or yield"),
    "returns-text": (hook("return 'dice'"), "failed", "returned 'd', which is not a medseg.plugin.Loss"),
    "wrong-kind": (
        hook(f"yield {LOSS.format('dice')}", name="medseg_heads"),
        "failed",
        r"returned Loss\(name='dice'.*, which is not a medseg.plugin.Head",
    ),
    "raises-midway": (
        hook(f"yield {LOSS.format('fine')}\nraise IndexError('second')"),
        "failed",
        "IndexError: second",
    ),
    "one-name-twice": (
        hook(f"yield {LOSS.format('dice')}\nyield {LOSS.format('dice')}"),
        "failed",
        "medseg_losses offers the name 'dice' twice",
    ),
    "bad-component-name": (
        hook(f"yield {LOSS.format('[red]Dice')}"),
        "failed",
        r"Loss name '\[red\]Dice' is not allowed",
    ),
    "no-comma": (
        hook('yield Format(name="xyz", factory="a:b", summary="", suffixes=(".xyz"))', "medseg_formats"),
        "failed",
        r"Format 'xyz': suffixes is '.xyz', wanted tuple\[str, ...\]",
    ),
    "empty-model": (
        hook(
            'yield Model(name="m", summary="", architecture="a", weights=None, input=None, labels=(),\n'
            '            intended_use="", training_data="")',
            "medseg_models",
        ),
        "failed",
        "Model 'm': weights is None, wanted Weights",
    ),
    "hook-with-argument": (
        f"{HEADER}@hookimpl\ndef medseg_losses(registry): return []",
        "failed",
        "PluginValidationError: .*'registry'",
    ),
    "Bad_Name": (HEADER, "failed", "entry point name 'Bad_Name' is not allowed: use lower-case letters"),
    "builtin": (HEADER, "refused", "'builtin' is already taken by medseg "),
}
SIX = ("import-error", "system-exit", "raising-hook", "newer-api", "unknown-hook", "linknet")
LOUD = "print('imported, and proud of it')\n"


@pytest.fixture(scope="module")
def site(install, tmp_path_factory):
    site = tmp_path_factory.mktemp("site-packages")
    for number, (name, (source, _, _)) in enumerate(FAILURES.items()):
        module = f"failing_{number}"
        install(
            site, f"zz-{name}", f"[medseg]\n{name} = {module}\n", version=f"1.{number}", **{module: source}
        )
    sound = LOUD + hook(f"yield {LOSS.format('sound')}")
    install(site, "zz-sound", "[medseg]\nsound = sound_plugin\n", sound_plugin=sound)
    install(site, "zz-attribute", "[medseg]\nno-attribute = sound_plugin:Plugin\n")
    install(site, "zz-nameless", "[medseg]\nnameless = sound_plugin\n", metadata="Metadata-Version: 2.1\n")
    # The same distribution further down the path, as a copy beside an editable install is.
    further = tmp_path_factory.mktemp("further")
    install(further, "ZZ.Sound", "[medseg]\nsound = a_second_copy\n", version="0.1")
    return f"{site}{os.pathsep}{further}"


@pytest.fixture(scope="module")
def listed(site, medseg):
    done = medseg("plugin", "list", "--json", site=site)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def rows(listed):
    return {(row["name"], row["distribution"]): row for row in json.loads(listed.stdout)["plugins"]}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_plugin_is_a_row_with_distribution_version_and_reason(name, rows, listed):
    row = rows[name, f"zz-{name}"]
    _, status, reason = FAILURES[name]
    assert row["status"] == status
    assert re.search(reason, row["reason"])
    assert row["version"] == f"1.{list(FAILURES).index(name)}"
    assert row["components"] == []
    line = f"{name} (zz-{name} {row['version']}) {status}: {row['reason']}"
    assert line in listed.stderr.splitlines()


def test_an_entry_point_to_a_missing_attribute_is_a_row(rows):
    row = rows["no-attribute", "zz-attribute"]
    assert row["status"] == "failed"
    assert row["reason"] == "AttributeError: module 'sound_plugin' has no attribute 'Plugin'"


def test_a_damaged_list_of_entry_points_is_a_row(install, medseg, tmp_path):
    # importlib.metadata.entry_points(), and with it torch, raises for such a file: the list says whose it is.
    install(tmp_path, "zz-damaged", "[medseg]\nno equals sign\n")
    listed = json.loads(medseg("plugin", "list", "--json", site=tmp_path).stdout)
    rows = {row["name"]: row for row in listed["plugins"]}
    assert rows["zz-damaged"]["status"] == "failed"
    assert "its entry_points.txt cannot be read, reinstall it" in rows["zz-damaged"]["reason"]
    assert rows["linknet"]["status"] == "ok"


def test_a_plugin_without_metadata_works_and_its_version_is_a_question_mark(rows):
    assert (rows["nameless", "?"]["status"], rows["nameless", "?"]["version"]) == ("ok", "?")


def test_of_one_distribution_found_twice_one_counts(rows):
    assert [(row["distribution"], row["status"]) for row in rows.values() if row["name"] == "sound"] == [
        ("zz-sound", "ok")
    ]


def test_nothing_changes_for_the_plugins_that_work(rows, medseg):
    alone = json.loads(medseg("plugin", "list", "--json").stdout)["plugins"]
    assert {row["name"] for row in alone} >= {"builtin", "linknet", "unets", "vnet"}
    for row in alone:
        assert rows[row["name"], row["distribution"]] == row
    assert [c["name"] for c in rows["sound", "zz-sound"]["components"]] == ["sound:sound"]


def test_models_are_listed_as_if_the_failing_plugins_were_not_there(site, medseg):
    assert medseg("models", "--json", site=site).stdout == medseg("models", "--json").stdout


def test_what_a_plugin_prints_at_import_is_not_in_the_document(listed):
    assert "proud" not in listed.stdout
    assert "proud" in listed.stderr


def test_doctor_names_each_failure_with_its_traceback_and_ends_with_1(site, medseg):
    done = medseg("doctor", "--json", site=site)
    assert done.returncode == 1
    problems = {problem["plugin"]: problem for problem in json.loads(done.stdout)["problems"]}
    assert set(problems) >= {"import-error", "system-exit", "raising-hook", "newer-api", "unknown-hook"}
    assert "raise OSError('no licence server')" in problems["raising-hook"]["traceback"]
    assert problems["linknet"]["distribution"] == "zz-linknet 1.5"

    for_people = medseg("doctor", site=site, COLUMNS="40")
    assert for_people.returncode == 1
    assert "FAILED  raising-hook (zz-raising-hook 1.2): OSError: no licence server" in for_people.stdout
    assert f"{len(json.loads(done.stdout)['problems'])} problems found" in for_people.stdout


@pytest.fixture(scope="module")
def one_each(install, tmp_path_factory):
    sites = {name: tmp_path_factory.mktemp(name) for name in SIX}
    for name, site in sites.items():
        install(site, f"zz-{name}", f"[medseg]\n{name} = failing\n", failing=FAILURES[name][0])
    return sites


@pytest.mark.parametrize("name", SIX)
def test_strict_mode_stops_at_the_failure_with_a_sentence(name, one_each, medseg):
    done = medseg("plugin", "list", site=one_each[name], MEDSEG_STRICT="1", MEDSEG_PLUGINS=name)
    assert done.returncode == 3
    assert done.stdout == ""
    assert re.fullmatch(rf"Error: {name} \(zz-{name} 1.0\) {FAILURES[name][1]}: .*\n", done.stderr)
