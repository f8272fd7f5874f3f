"""The tool, on files and with the page that a browser shows; nothing overwritten unasked."""

import base64
import json
import math
import threading
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from rendered_boards import random_set
from rendered_table import PinholeCamera, paste_board, table_texture

from vima_ros.cli.calibrate.corner_picker import PAGE, CornerPickerServer
from vima_ros.cli.calibrate.main import main
from vima_ros.errors import VimaError
from vima_ros.geometry import Workspace
from vima_ros.perception.calibration.calibration import workspace_corners
from vima_ros.perception.calibration.camera_info import camera_info_yaml
from vima_ros.perception.calibration.camera_model import CameraModel
from vima_ros.perception.calibration.charuco import Board, PlacedBoard
from vima_ros.perception.calibration.estimation import calibrate
from vima_ros.perception.calibration.io import load_calibration
from vima_ros.program import exit_code

needs_board = pytest.mark.skipif(
    not hasattr(getattr(cv2, "aruco", None), "CharucoDetector"), reason="OpenCV before 4.7"
)
BARREL = (-0.2, 0.06, 0.001, -0.001, 0.0)
CAMERA = PinholeCamera(d=BARREL)
CORNERS = CAMERA.show(workspace_corners(Workspace()))
IMAGE = CAMERA.look_at(table_texture())


def run(*args):
    return exit_code("calibrate", main, [*map(str, args)])


def corner_words(corners=CORNERS):
    return [f"{x:.2f},{y:.2f}" for x, y in corners]


@pytest.fixture
def folder(tmp_path):
    cv2.imwrite(str(tmp_path / "front.png"), IMAGE)
    info = camera_info_yaml(CameraModel(CAMERA.k, BARREL), (640, 480), "front")
    (tmp_path / "info.yaml").write_text(info)
    return tmp_path


def by_corners(folder, *more, image="front.png"):
    return run(
        *("view", "front", "--image", folder / image, "--camera-info", folder / "info.yaml"),
        *("--corners", *corner_words(), "--out", folder / "cal.yaml", *more),
    )


def test_corners_become_a_calibration(folder, capsys):
    assert by_corners(folder) == 0
    said = capsys.readouterr().out
    assert "reprojection error" in said
    assert "45 degrees down" in said
    assert "note:" not in said
    made = load_calibration(folder / "cal.yaml")
    corners = workspace_corners(Workspace())
    np.testing.assert_allclose(made.camera_to_table(CORNERS), corners, atol=1e-4)
    result = cv2.imread(str(folder / "cal_result.png"))
    assert result.shape == (384, 768, 3)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["cal.yaml", "cal_patches.png", "cal_result.png", "front.png", "info.yaml"]


def test_nothing_is_overwritten_unasked(folder, capsys):
    (folder / "cal_result.png").write_text("mine")
    assert by_corners(folder) == 2
    assert "FILE_EXISTS" in capsys.readouterr().err
    assert (folder / "cal_result.png").read_text() == "mine"
    assert not (folder / "cal.yaml").exists()
    assert by_corners(folder, "--force") == 0


def test_corners_at_other_places_and_another_workspace(folder):
    marks = np.array([[0.3, -0.4], [0.3, 0.4], [0.7, 0.4], [0.7, -0.4]])
    code = run(
        *("view", "top", "--image", folder / "front.png", "--out", folder / "cal.yaml"),
        *("--corners", *corner_words(CAMERA.show(marks)), "--camera-info", folder / "info.yaml"),
        *("--corners-at", *corner_words(marks), "--workspace", 0.35, -0.3, 0.65, 0.3),
    )
    assert code == 0
    made = load_calibration(folder / "cal.yaml")
    assert made.workspace == Workspace((0.35, -0.3), (0.65, 0.3))
    np.testing.assert_allclose(made.camera_to_table(CAMERA.show(marks)), marks, atol=1e-4)


@pytest.mark.slow
@needs_board
def test_boards_in_two_places_become_a_calibration(folder, capsys):
    places = [(0.45, -0.35, 80.0), (0.5, 0.2, 75.0)]
    words = []
    for number, (x, y, yaw) in enumerate(places):
        placed = PlacedBoard(Board(0.047), x, y, math.radians(yaw))
        name = folder / f"board{number}.png"
        cv2.imwrite(str(name), CAMERA.look_at(paste_board(table_texture(), placed)))
        words += ["--image", name, "--at", x, y, yaw]
    code = run(
        *("view", "front", *words, "--square", 0.047, "--camera-info", folder / "info.yaml"),
        *("--out", folder / "cal.yaml"),
    )
    assert code == 0
    assert "24 points" in capsys.readouterr().out
    made = load_calibration(folder / "cal.yaml")
    off = made.camera_to_table(CORNERS) - workspace_corners(Workspace())
    assert np.abs(off).max() < 0.005
    assert made.board == PlacedBoard(Board(0.047), 0.5, 0.2, math.radians(75))
    assert run("check", folder / "cal.yaml", "--image", folder / "board1.png") == 0
    assert run("check", folder / "cal.yaml", "--image", folder / "board0.png") == 1


def test_check_says_whether_the_camera_has_moved(folder, capsys):
    assert by_corners(folder) == 0
    images = {
        "same": (IMAGE, 0, "in place"),
        "moved": (np.roll(IMAGE, 5, axis=1), 1, "5.0 px"),
        "dark": (np.zeros_like(IMAGE), 3, "cannot tell"),
    }
    for name, (image, code, says) in images.items():
        cv2.imwrite(str(folder / f"{name}.png"), image)
        assert run("check", folder / "cal.yaml", "--image", folder / f"{name}.png") == code
        assert says in capsys.readouterr().out


@needs_board
def test_a_printed_board_has_all_its_corners(tmp_path, capsys):
    assert run("board", "--out", tmp_path / "board.png", "--dpi", 100) == 0
    assert "--square 0.047" in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / "board.png"), cv2.IMREAD_GRAYSCALE)
    assert len(Board(0.047).find(sheet)[0]) == 12


@pytest.mark.slow
@needs_board
def test_the_report_of_a_lens_names_its_error_and_its_images(tmp_path, capsys):
    texture = paste_board(table_texture(), PlacedBoard(Board(0.069), 0.5, -0.15, 1.2))
    for number, angle in enumerate(np.linspace(0.3, 5.6, 6)):
        position = (0.45 + 0.35 * math.cos(angle), 0.35 * math.sin(angle), 0.42)
        camera = PinholeCamera(position, (0.5, 0.0, 0.0), angle, d=BARREL)
        cv2.imwrite(str(tmp_path / f"{number}.png"), camera.look_at(texture))
    images = sorted(tmp_path.glob("*.png"))
    assert run("lens", *images, "--square", 0.069, "--out", tmp_path / "info.yaml") == 0
    said = capsys.readouterr().out
    assert "rms over 6 images" in said
    assert "focal length" in said
    assert "standard deviation" in said
    assert "layout of OpenCV 4.6 and later" in said
    assert "0.png: 0." in said
    assert "camera_matrix" in (tmp_path / "info.yaml").read_text()


@pytest.mark.slow
@needs_board
def test_poor_images_are_warned_of_or_refused(tmp_path, capsys):
    """All tilted one way; then all the same, of which no lens is written."""
    legacy, rng = Board(0.04, legacy=True), np.random.default_rng(1)
    for kind in ("one_way", "parallel"):
        held = random_set(kind, legacy, PinholeCamera(d=BARREL), rng)[:6]
        images = []
        for number, one in enumerate(held):
            images.append(tmp_path / f"{kind}{number}.png")
            cv2.imwrite(str(images[-1]), one.image(rng=rng, samples=2))
        info = tmp_path / f"{kind}.yaml"
        code = run("lens", *images, "--square", 0.04, "--out", info)
        written = capsys.readouterr()
        assert "layout of OpenCV before 4.6" in written.out
        assert "Add images: with the " in written.out + written.err
        assert info.exists() == (code == 0) == (kind == "one_way")


@needs_board
def test_a_legacy_board_is_kept_in_the_calibration(folder, capsys):
    legacy = Board(0.047, legacy=True)
    placed = PlacedBoard(legacy, 0.5, 0.1, 1.3)
    cv2.imwrite(str(folder / "board.png"), CAMERA.look_at(paste_board(table_texture(), placed)))
    code = run(
        *("view", "front", "--image", folder / "board.png", "--at", 0.5, 0.1, math.degrees(1.3)),
        *("--square", 0.047, "--camera-info", folder / "info.yaml", "--out", folder / "cal.yaml"),
    )
    assert code == 0
    assert "layout of OpenCV before 4.6" in capsys.readouterr().out
    assert load_calibration(folder / "cal.yaml").board.board == legacy
    assert run("check", folder / "cal.yaml", "--image", folder / "board.png") == 0


@needs_board
@pytest.mark.parametrize("paper", ["letter", "Letter", "LETTER"])
def test_a_board_on_letter_paper(tmp_path, capsys, paper):
    args = ("--paper", paper, "--out", tmp_path / "board.png", "--dpi", 100)
    assert run("board", *args) == 0
    printed = capsys.readouterr().out
    assert "Letter, landscape" in printed
    assert "5 squares in a row: 240 mm" in printed
    assert "--square 0.048" in printed


@pytest.mark.parametrize(
    ("code", "says", "args"),
    [
        (2, "one way is needed", "view front --image a.png --out a.yaml"),
        (2, "--square and --at", "view front --image a --out a.yaml --square 0.04"),
        (2, "one each", "view top --image a --image b --out a.yaml --square 1 --at 0 0 0"),
        (2, ".yaml", "view front --image a --out a.txt --click"),
        (2, "valid: x,y", "view front --image a --out a.yaml --corners 1 2 3 4"),
        (2, "invalid choice", "view side --image a --out a.yaml --click"),
        (2, "BAD_IMAGE", "view front --image a --out a.yaml --corners 1,1 9,1 9,9 1,9"),
        (2, "NO_CALIBRATION", "check none.yaml --image none.png"),
        (2, "BAD_BOARD", "board --out b.png --square 0.3"),
        (2, "BAD_IMAGE", "lens none.png --square 0.04 --out b.yaml"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, monkeypatch, capsys, code, says, args):
    monkeypatch.chdir(tmp_path)
    assert run(*args.split()) == code
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_wrong_corners_are_refused_and_nothing_is_written(folder, capsys):
    code = run(
        *("view", "front", "--image", folder / "front.png", "--out", folder / "cal.yaml"),
        *("--corners", *corner_words(CORNERS[::-1])),
    )
    assert code == 2
    assert "MIRRORED" in capsys.readouterr().err
    assert not (folder / "cal.yaml").exists()


# --- the page


def solve(corners):
    return calibrate("front", IMAGE, corners, camera_model=CameraModel(CAMERA.k, BARREL))


@pytest.fixture
def server():
    with CornerPickerServer(IMAGE, solve) as running:
        yield running


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


def post(url, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    with urllib.request.urlopen(url, body, timeout=10) as answer:
        return json.loads(answer.read())


def test_the_page_and_the_image_are_served_here_only(server):
    assert server.url.startswith("http://127.0.0.1:")
    kind, page = get(server.url)
    assert kind.startswith("text/html")
    assert b"<canvas" in page
    assert b"@LABELS@" not in page
    assert b"nearest the robot" in page
    kind, data = get(server.url + "image.png")
    assert kind == "image/png"
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image[..., ::-1], IMAGE)


def test_the_page_asks_for_nothing_from_elsewhere():
    page = PAGE.read_text()
    assert "http" not in page
    assert "src=" not in page.replace('src="data:', "")


def test_corners_are_previewed_and_accepted(server):
    corners = CORNERS.tolist()
    shown = post(server.url + "preview", {"corners": corners})
    assert shown["ok"]
    assert "reprojection error" in shown["message"]
    data = base64.b64decode(shown["image"].removeprefix("data:image/png;base64,"))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (384, 768, 3)
    assert server.wait(0) is None, "a preview is no answer"
    assert post(server.url + "accept", {"corners": corners})["ok"]
    made = server.wait(10)
    np.testing.assert_array_equal(made.corners, CORNERS)


def test_wrong_corners_are_explained_and_not_accepted(server):
    for what in ("preview", "accept"):
        said = post(server.url + what, {"corners": CORNERS[::-1].tolist()})
        assert not said["ok"]
        assert said["code"] == "MIRRORED"
    assert server.wait(0) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", {"corners": 1}, {"corners": [[1, 2]]}, {"corners": [["a", 2]] * 4},
     {"corners": [[math.nan, 2]] * 4}, b'{"corners": ' + b"[" * 4000 + b"}"],
)  # fmt: skip
def test_nonsense_is_answered(server, body):
    said = post(server.url + "accept", body)
    assert not said["ok"]
    assert said["code"] in ("INVALID_VALUE", "TOO_SMALL")
    assert server.wait(0) is None


@pytest.mark.parametrize("path", ["", "other/", "../etc/passwd", "x/accept"])
def test_who_does_not_know_the_address_gets_nothing(server, path):
    base = server.url.rsplit("/", 2)[0] + "/"
    for body in (None, b"{}"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(base + path, body, timeout=10)
        assert error.value.code == 404
    assert server.wait(0) is None


def test_a_large_request_is_not_read(server):
    with pytest.raises(urllib.error.HTTPError) as error:
        post(server.url + "accept", b" " * 5000)
    assert error.value.code == 413


def test_cancelling_ends_it(server):
    assert post(server.url + "cancel", b"")["ok"]
    assert server.wait(10) is None


def test_a_taken_port_is_named(server):
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(VimaError, match=str(port)) as error:
        CornerPickerServer(IMAGE, solve, port)
    assert error.value.code == "CANNOT_SERVE"


def test_clicked_corners_become_a_file(folder, monkeypatch):
    def browse(server):
        url = server.url
        body = {"corners": CORNERS.tolist()}
        threading.Thread(target=post, args=(url + "accept", body), daemon=True).start()
        return server

    monkeypatch.setattr(CornerPickerServer, "__enter__", browse)
    code = run(
        *("view", "front", "--image", folder / "front.png", "--click"),
        *("--out", folder / "cal.yaml", "--camera-info", folder / "info.yaml"),
    )
    assert code == 0
    np.testing.assert_array_equal(load_calibration(folder / "cal.yaml").corners, CORNERS)
