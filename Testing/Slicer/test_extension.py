"""The extension is complete: the CMake files install what the tree holds, and the catalog gets what it asks for."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("MRFieldOfView", "KidneyUltrasound")

# What Slicer's and CTK's macros do with the files they are given, as far as an installation goes.
SLICER_CONFIG = """
set(Slicer_FOUND TRUE)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
foreach(file USE_FILE EXTENSION_GENERATE_CONFIG EXTENSION_CPACK)
  set(Slicer_${file} ${CMAKE_CURRENT_LIST_DIR}/Empty.cmake)
endforeach()
function(_install_files folder)
  foreach(file ${ARGN})
    get_filename_component(subfolder ${file} DIRECTORY)
    install(FILES ${file} DESTINATION ${folder}/${subfolder})
  endforeach()
endfunction()
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  _install_files(${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR} ${MY_SCRIPTS} ${MY_RESOURCES})
endmacro()
macro(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR" "TARGET_NAME;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  get_filename_component(subfolder ${MY_DESTINATION_DIR} NAME)
  _install_files(${MY_INSTALL_DIR}/${subfolder} ${MY_SCRIPTS})
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  get_filename_component(name ${MY_SCRIPT} NAME_WE)
  add_test(NAME py_${MY_TESTNAME_PREFIX}${name} COMMAND python ${MY_SCRIPT})
endmacro()
macro(slicer_add_python_test)
  cmake_parse_arguments(MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS;SCRIPT_ARGS" ${ARGN})
  get_filename_component(name ${MY_SCRIPT} NAME_WE)
  add_test(NAME py_${MY_TESTNAME_PREFIX}${name} COMMAND python ${MY_SCRIPT} ${MY_SCRIPT_ARGS})
endmacro()
include(CTest)
"""


def listed(cmake_file: Path, variable: str) -> list[str]:
    """The entries of `set(variable ...)`, with MODULE_NAME filled in."""
    text = cmake_file.read_text()
    name = re.search(r"set\(MODULE_NAME (\w+)\)", text)
    entries = re.search(rf"set\({variable}\s([^)]*)\)", text)[1].split()
    return [entry.replace("${MODULE_NAME}", name[1]) if name else entry for entry in entries]


def tree(folder: str, *patterns: str) -> list[str]:
    """Files below a folder of the repository, relative to it."""
    base = ROOT / folder
    found = {path for pattern in patterns for path in base.rglob(pattern) if path.is_file()}
    return sorted(str(path.relative_to(base)) for path in found if "__pycache__" not in path.parts)


def test_every_script_of_the_library_is_installed():
    scripts = listed(ROOT / "SlicerHPO/SlicerHPOLib/CMakeLists.txt", "LIBRARY_PYTHON_SCRIPTS")
    assert sorted(scripts) == tree("SlicerHPO/SlicerHPOLib", "*.py")
    assert tree("SlicerHPO/SlicerHPOLib", "*") == sorted([*scripts, "CMakeLists.txt"])


@pytest.mark.parametrize("module", MODULES)
def test_every_script_and_resource_of_a_module_is_installed(module):
    cmake_file = ROOT / "SlicerHPO" / module / "CMakeLists.txt"
    scripts, resources = (listed(cmake_file, f"MODULE_PYTHON_{kind}") for kind in ("SCRIPTS", "RESOURCES"))
    assert sorted(scripts) == tree(f"SlicerHPO/{module}", "*.py")
    assert sorted([*scripts, *resources, "CMakeLists.txt"]) == tree(f"SlicerHPO/{module}", "*")


def test_every_model_and_sample_is_installed():
    expected = [f"Resources/{name}" for name in tree("Resources", "Models/**/*", "SampleData/**/*")]
    assert sorted(listed(ROOT / "CMakeLists.txt", "HPO_RESOURCES")) == expected


def test_every_package_of_the_library_is_in_the_wheel():
    setuptools = (ROOT / "pyproject.toml").read_text().split("[tool.setuptools]")[1].split("\n[")[0]
    packages = re.findall(r'"(SlicerHPOLib[\w.]*)"', setuptools)
    folders = {Path(name).parent for name in tree("SlicerHPO/SlicerHPOLib", "__init__.py")}
    assert set(packages) == {".".join(("SlicerHPOLib", *folder.parts)) for folder in folders}


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """A build folder of the extension, configured with a SlicerConfig.cmake that stands for Slicer's."""
    if not (shutil.which("cmake") and shutil.which("c++")):
        pytest.skip("needs cmake and a C++ compiler")
    folder = tmp_path_factory.mktemp("cmake")
    (folder / "Empty.cmake").touch()
    (folder / "SlicerConfig.cmake").write_text(SLICER_CONFIG)
    run("cmake", "-S", ROOT, "-B", folder / "build", f"-DSlicer_DIR={folder}", "-DCMAKE_INSTALL_PREFIX=/installed")
    return folder / "build"


def run(*command, **options) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(configured, tmp_path_factory):
    """The folder qt-scripted-modules of the extension as it is installed."""
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--build", configured, "--target", "install", env={**os.environ, "DESTDIR": str(folder)})
    return folder / "installed/lib/Slicer-5.12/qt-scripted-modules"


def test_an_installation_is_complete(installed):
    for module in MODULES:
        assert (installed / f"{module}.py").is_file()
        assert (installed / f"Resources/UI/{module}.ui").is_file()
        assert (installed / f"Resources/Icons/{module}.png").is_file()
    assert len(list((installed / "SlicerHPOLib").rglob("*.py"))) == len(tree("SlicerHPO/SlicerHPOLib", "*.py"))


def test_the_installed_library_finds_its_models(installed):
    code = (
        "from SlicerHPOLib import bundle\n"
        "print(*[bundle.read_bundle(folder).folder for folder in bundle.available_bundles()])"
    )
    paths = run(sys.executable, "-c", code, cwd=installed, env={**os.environ, "PYTHONPATH": str(installed)}).split()
    assert [Path(path).parent for path in paths] == [installed / "Resources/Models"] * 2


def test_the_installed_modules_offer_their_samples_and_import_no_torch(core, installed):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'Testing/Slicer')!r})\n"
        "from pathlib import Path\n"
        "from harness import install, sampledata, session\n"
        "core = install.install()\n"
        f"for name in {MODULES}: session.open_panel(session.load_module(Path({str(installed)!r}, name + '.py')))\n"
        "print(*[uri for source in sampledata.registered.values() for uri in source.uris])\n"
        "print('torch' in sys.modules)\n"
        "session.close_panels()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    *_, uris, torch = run(sys.executable, "-c", code, cwd=installed, env=environment).splitlines()
    assert len(uris.split()) == len(tree("Resources/SampleData", "*.nii.gz"))
    assert all(uri.startswith((installed / "Resources/SampleData").as_uri()) for uri in uris.split())
    assert torch == "False"


def test_ctest_runs_the_own_tests_of_both_modules_in_slicer(configured):
    tests = re.findall(r"Test +#\d+: (\S+)", run("ctest", "-N", cwd=configured))
    assert sorted(tests) == sorted(
        [f"py_{module}" for module in MODULES] + [f"py_{module}_run_in_slicer" for module in MODULES]
    )


def test_the_description_has_what_the_catalog_shows():
    text = (ROOT / "CMakeLists.txt").read_text()
    assert re.search(r"^project\(HPO\)$", text, re.MULTILINE)  # the catalog refuses names that begin with Slicer
    fields = dict(re.findall(r'^set\(EXTENSION_(\w+) "(.*)"\)', text, re.MULTILINE))
    names = {"HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"}
    assert set(fields) == names
    assert fields["DEPENDS"] == "PyTorch"
    for url in [fields["ICONURL"], *fields["SCREENSHOTURLS"].split()]:
        assert url.startswith("https://raw.githubusercontent.com/")
        assert (ROOT / url.split("/main/")[1]).is_file(), url


def test_the_catalog_entry_follows_the_schema():
    entry = json.loads((ROOT / "HPO.json").read_text())
    assert set(entry) <= {
        "$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "dicom_support_rule",
        "build_subdirectory", "enabled", "tier",
    }  # fmt: skip
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["category"] == "Segmentation"
    assert re.fullmatch(r"https://\S+/Slicer\w+\.git", entry["scm_url"])
    assert entry["build_dependencies"] == ["PyTorch"]
    assert entry["tier"] in range(1, 6)
    homepage = re.search(r'HOMEPAGE "(.*)"', (ROOT / "CMakeLists.txt").read_text())[1]
    assert entry["scm_url"] == f"{homepage}.git"


@pytest.mark.parametrize(
    "path", ["HPO.png", *(f"SlicerHPO/{module}/Resources/Icons/{module}.png" for module in MODULES)]
)
def test_icons_have_the_size_that_slicer_asks_for(path):
    header = (ROOT / path).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")) == (128, 128)


def test_the_icons_are_those_that_the_script_draws(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    np = pytest.importorskip("numpy")
    monkeypatch.syspath_prepend(ROOT / "Resources/Icons")
    import draw

    targets = dict(draw.TARGETS)
    monkeypatch.setattr(draw, "TARGETS", {name: tmp_path / f"{name}.png" for name in targets})
    draw.main()
    for name, path in targets.items():
        kept, drawn = (np.asarray(image.open(file), dtype=float) for file in (path, tmp_path / f"{name}.png"))
        assert np.abs(kept - drawn).mean() < 1, f"{path} is old: python Resources/Icons/draw.py"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_written_for_the_python_of_slicer(module):
    for path in (ROOT / "SlicerHPO" / module).rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 600, path
        assert not re.findall(r"^(?:import|from) torch", text, re.MULTILINE), path
        # Qt's scoped names, which PySide6 has and the Qt 5 of many a Slicer has not
        assert not re.findall(r"qt\.Q\w+\.[A-Z]\w+\.[A-Z]\w+|\.exec\(", text), path


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is_for_and_what_not_whom_to_thank_and_has_an_icon(load_module, module):
    import slicer

    load_module(module)
    said = getattr(slicer.modules, module.lower())
    assert said.title and said.categories and said.contributors and not said.icon.isNull()
    assert len(said.helpText) > 100 and "Not for clinical use" in said.helpText
    assert "doctoral thesis" in said.acknowledgementText


def test_the_library_knows_no_slicer_but_in_mrml_and_never_qt():
    library = ROOT / "SlicerHPO/SlicerHPOLib"
    for name in tree("SlicerHPO/SlicerHPOLib", "*.py"):
        imports = set(re.findall(r"^\s*(?:import|from) (\w+)", (library / name).read_text(), re.MULTILINE))
        forbidden = {"qt", "ctk", "PySide6"} | (set() if name.startswith("mrml/") else {"slicer", "vtk"})
        assert not imports & forbidden, name


def test_the_checkout_stays_below_60_mb():
    files = run("git", "ls-files", "-z", cwd=ROOT).split("\0") if (ROOT / ".git").exists() else tree(".", "*")
    assert sum((ROOT / name).stat().st_size for name in files if name and (ROOT / name).is_file()) < 60e6
