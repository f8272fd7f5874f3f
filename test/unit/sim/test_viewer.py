import pytest

from vima_ros.errors import VimaError
from vima_ros.sim.scene import Scene
from vima_ros.sim.tabletop import Tabletop


@pytest.mark.parametrize("display", [None, ":9876"])
def test_without_a_display_it_fails_instead_of_waiting(monkeypatch, display):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(VimaError, match="valid") as caught:
        Tabletop(Scene(()), viewer=True)
    assert caught.value.code == "NO_DISPLAY"
    assert display is None or display in str(caught.value)
