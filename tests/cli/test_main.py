"""The front of all commands."""

import re
import runpy
import subprocess
import sys

import pytest

from mmmaskformer.cli import main as front
from tests.commands import mistake
from tests.conftest import ROOT


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["mmmaskformer", *map(str, arguments)])
    front.main()


def test_the_help_lists_every_command_and_loads_nothing_heavy():
    code = (
        "import sys; from mmmaskformer.cli.main import main\n"
        "try: main()\n"
        "finally: print([name for name in sys.modules if name in ('torch', 'mmengine', 'cv2')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "--help"], cwd=ROOT, text=True, capture_output=True
    )
    assert run.returncode == 0, run.stderr
    listed = re.findall(r"^    (\w+) ", run.stdout, re.MULTILINE)
    modules = {path.stem for path in (ROOT / "mmmaskformer/cli").glob("*.py")}
    modules = {name for name in modules if not name.startswith("_")} - {"main", "options"}
    assert set(listed) == modules | {"train", "test", "convert", "check"}
    assert {"predict", "models"} <= modules
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", sorted(front.TOOLS))
def test_a_tool_means_what_its_script_means(monkeypatch, capsys, command):
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, command, "--help")
    assert not caught.value.code
    text = capsys.readouterr().out
    script = ROOT / "tools" / front.TOOLS[command][0]
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(script), run_name="__main__")
    options = re.compile(r"--[a-z][\w-]*")
    assert set(options.findall(text)) == set(options.findall(capsys.readouterr().out))
    assert text.startswith(f"usage: mmmaskformer {command} ")


def test_a_tools_mistake_is_one_line(monkeypatch, capsys):
    assert mistake(capsys, call, monkeypatch, "test", "no.py", "no.pth") == (
        "error: config no.py does not exist"
    )
    line = mistake(capsys, call, monkeypatch, "convert", "no.pkl", "to.pth")
    assert line.startswith("error: ")
    assert "no.pkl" in line


def test_the_name_of_a_model_stands_for_its_config(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    line = mistake(capsys, call, monkeypatch, "test", "maskformer_r18_shapes", "no.pth")
    assert line == "error: checkpoint no.pth does not exist or is no file"
    (tmp_path / "maskformer_r18_shapes").write_text("a file of this name")
    line = mistake(capsys, call, monkeypatch, "test", "maskformer_r18_shapes", "no.pth")
    assert line.startswith("error: config maskformer_r18_shapes can not be read")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["predcit"], "invalid choice: 'predcit'"),
        (["predict", "a.jpg"], "the following arguments are required: --model"),
        (["predict", "a.jpg", "--model", "m", "--task", "depth"], "invalid choice: 'depth'"),
    ],
)
def test_wrong_words_are_one_line(monkeypatch, capsys, arguments, text):
    assert text in mistake(capsys, call, monkeypatch, *arguments)


@pytest.mark.parametrize(
    ("package", "extra"), [("mmcv", "lite"), ("fastapi", "models"), ("onnxruntime", "export")]
)
def test_a_missing_package_names_its_extra(monkeypatch, capsys, package, extra):
    def lacking(args):
        raise ModuleNotFoundError(f"No module named '{package}'", name=f"{package}.part")

    monkeypatch.setattr(front.COMMANDS["models"], "main", lacking)
    line = mistake(capsys, call, monkeypatch, "models")
    assert line == (
        f"error: models needs the package {package}: pip install 'mmmaskformer[{extra}]'"
    )
