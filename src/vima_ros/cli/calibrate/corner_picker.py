"""Server of a page on 127.0.0.1 on which four corners are clicked in a browser."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.calibration import Calibration
from vima_ros.perception.calibration.report import report, warnings
from vima_ros.perception.view_transform import ViewTransform, draw_workspace

PAGE = Path(__file__).with_name("corner_picker.html")
MAX_BODY = 4096  # [bytes] four corners need 200
LABELS = (
    "nearest the robot, on its right (upper left in the policy's view)",
    "nearest the robot, on its left",
    "farthest from the robot, on its left",
    "farthest from the robot, on its right",
)


def result_png(image_rgb: np.ndarray, calibration: Calibration) -> bytes:
    """Encode the policy frame with the workspace outlined as PNG."""
    frame = ViewTransform(calibration.size, calibration=calibration).apply(image_rgb)
    return png(draw_workspace(frame, calibration.view))


def png(image_rgb: np.ndarray) -> bytes:
    """Encode an RGB image as PNG."""
    return cv2.imencode(".png", image_rgb[..., ::-1])[1].tobytes()


class CornerPickerServer:
    """Serves the page until a person accepts or cancels; a context manager.

    ``solve`` computes a calibration from corners (4, 2) [px] or raises VimaError, which the page
    shows. Requests without the random part of ``url`` are refused. ``port`` 0: any free one.

    Raises VimaError (CANNOT_SERVE) when the port is taken.
    """

    def __init__(
        self, image_rgb: np.ndarray, solve: Callable[[np.ndarray], Calibration], port: int = 0
    ) -> None:
        self._image, self._solve = image_rgb, solve
        self._ended = threading.Event()
        self._accepted: Calibration | None = None
        self._over = False
        self._token = secrets.token_urlsafe(16)
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        except (OSError, OverflowError) as error:
            raise VimaError(
                "CANNOT_SERVE", f"port {port}: {error}; valid: a free one, 0 = any"
            ) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self._server.server_port}/{self._token}/"

    def __enter__(self) -> CornerPickerServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, timeout: float | None = None) -> Calibration | None:
        """Return the accepted calibration; None when cancelled or after ``timeout`` [s]."""
        self._ended.wait(timeout)
        return self._accepted

    def answered(self) -> None:
        """End the wait once the last response is sent."""
        if self._over:
            self._ended.set()

    def get(self, path: str) -> tuple[str, bytes] | None:
        """Return type and content of a GET; None: not found."""
        if path == f"/{self._token}/":
            text = PAGE.read_text().replace("@LABELS@", json.dumps(LABELS))
            return "text/html; charset=utf-8", text.encode()
        if path == f"/{self._token}/image.png":
            return "image/png", png(self._image)
        return None

    def post(self, path: str, body: bytes) -> dict[str, Any] | None:
        """Return the response to a POST; None: not found."""
        what = path.removeprefix(f"/{self._token}/")
        if what == path or what not in ("preview", "accept", "cancel"):
            return None
        if what == "cancel":
            self._over = True
            return {"ok": True, "message": "Cancelled. This page can be closed."}
        try:
            calibration = self._solve(_corners(body))
        except VimaError as error:
            return {"ok": False, "code": error.code, "message": f"{error.code}: {error}"}
        if what == "accept":
            self._accepted, self._over = calibration, True
            return {"ok": True, "message": "Accepted. This page can be closed."}
        encoded = base64.b64encode(result_png(self._image, calibration)).decode()
        notes = [f"note: {warning}" for warning in warnings(calibration)]
        return {
            "ok": True,
            "message": "\n".join(report(calibration) + notes),
            "image": f"data:image/png;base64,{encoded}",
        }


def _corners(body: bytes) -> np.ndarray:
    try:
        corners = np.array(json.loads(body)["corners"], dtype=np.float64)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise VimaError("INVALID_VALUE", f"no corners: {error}; valid: four x, y") from error
    if corners.shape != (4, 2):
        raise VimaError("INVALID_VALUE", f"corners are {corners.shape}; valid: four x, y")
    return corners


def _handler(server: CornerPickerServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # [s] a request may take to arrive

        def do_GET(self) -> None:
            found = server.get(self.path)
            if found is None:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._answer(*found)

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit() and int(length) <= MAX_BODY):
                self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            answer = server.post(self.path, self.rfile.read(int(length)))
            if answer is None:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._answer("application/json", json.dumps(answer).encode())
                server.answered()

        def _answer(self, kind: str, content: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log no requests."""

    return Handler
