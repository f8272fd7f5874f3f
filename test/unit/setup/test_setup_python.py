"""Which Python an environment is made of."""

import subprocess
import venv
from pathlib import Path

from helpers import ROOT


def test_an_update_is_made_of_the_python_that_the_environment_was_made_of(tmp_path):
    """Python 3.10 names a virtual environment's own program as its base: a link to itself."""
    venv.create(tmp_path / ".venv", symlinks=True)
    own = tmp_path / ".venv" / "bin" / "python"
    (site,) = (tmp_path / ".venv" / "lib").glob("python*/site-packages")
    (site / "as_310.pth").write_text("import sys; sys._base_executable = sys.executable\n")
    choose = f". {ROOT}/tools/environment.sh; ros=wheels; choose_python; echo $python"
    done = subprocess.run(["bash", "-c", choose], cwd=tmp_path, capture_output=True, text=True)
    assert Path(done.stdout.strip()) == own.resolve(), done.stderr
