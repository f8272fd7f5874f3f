"""Figures of docs/calibration.md: errors of corners, and how often a poor set is warned of.

    ./vima exec python test/board_measurements.py corners|lenses|simulated [SETS] [SEED]

Rendered boards, so that the truth is known. `lenses` takes minutes: SETS random sets of each kind.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import cv2
import numpy as np
from rendered_boards import SETS, HeldBoard, random_camera, random_set, turn
from rendered_table import PinholeCamera

from vima_ros.errors import VimaError
from vima_ros.perception.calibration.charuco import MIN_CORNERS, Board
from vima_ros.perception.calibration.intrinsics import MIN_IMAGES, fit_intrinsics
from vima_ros.perception.calibration.intrinsics_report import check_determined, intrinsics_warnings

BOARDS = (Board(0.04), Board(0.025, (9, 6)))


def own_refinement(image, found):
    """The refinement that was dropped: one window for all corners, a quarter of their distance."""
    grey = cv2.resize(image[..., 0], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    corners = 2 * (found + 0.5) - 0.5
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    reach = max(2, int(0.25 * np.median(apart.min(1))))
    criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-3)
    start = corners.reshape(-1, 1, 2).astype(np.float32)
    refined = cv2.cornerSubPix(grey, start, (reach, reach), (-1, -1), criteria)[:, 0]
    return (refined + 0.5) / 2 - 0.5


def corners(repeats, seed):
    """Errors of found corners [px] by tilt, blur and noise."""
    rng = np.random.default_rng(seed)
    errors = defaultdict(list)
    for size, focal in (((640, 480), 480.0), ((1280, 720), 1000.0)):
        camera = PinholeCamera(size=size, focal=focal, d=(-0.2, 0.06, 0.001, -0.001, 0.0))
        for board in BOARDS:
            for blur, noise in ((0.4, 1), (0.8, 3), (1.5, 3), (0.8, 8)):
                for tilt in (0, 25, 50) * repeats:
                    while True:
                        held = HeldBoard(
                            board, camera, turn(tilt, *rng.uniform(0, 360, 2)),
                            rng.uniform(0.2, 0.8, 2) * size, rng.uniform(0.3, 0.8),
                        )  # fmt: skip
                        if held.inside():
                            break
                    image = held.image(blur=blur, noise=noise, rng=rng)
                    ids, found = board.find(image)
                    if len(ids) < 6:
                        continue
                    for name, places in (
                        ("OpenCV", found), ("own", own_refinement(image, found))
                    ):  # fmt: skip
                        off = places - held.corners[ids]
                        for case in ("all", f"blur {blur}, noise {noise}", f"tilt {tilt}"):
                            errors[case, name].append(off)
    print("| | refinement | rms px | median px | 1 of 20 above px |\n|---|---|---|---|---|")
    for (case, name), parts in sorted(errors.items()):
        far = np.linalg.norm(np.concatenate(parts), axis=1)
        numbers = (np.sqrt((far**2).mean()), np.median(far), np.percentile(far, 95))
        print(f"| {case} | {name} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")


def lenses(repeats, seed, see=None):
    """How far off the focal length is, and what was printed, by kind of set."""
    print("| images | sets | focal length off by, median (most) | off by > 2 % | warned | refused"
          " | off by > 2 % and neither |\n|---|---|---|---|---|---|---|")  # fmt: skip
    rng = np.random.default_rng(seed)
    for kind, words in SETS.items():
        rows = [one_lens(kind, rng, see or rendered) for _ in range(repeats)]
        off, warned, refused = (np.array(column) for column in zip(*rows, strict=True))
        missed = int(((off > 0.02) & ~warned & ~refused).sum())
        known = off[np.isfinite(off)]
        figures = f"{np.median(known):.1%} ({known.max():.1%})" if len(known) else "-"
        print(
            f"| {words} | {repeats} | {figures} | {(known > 0.02).sum()} | {warned.sum()} | "
            f"{refused.sum()} | {missed} |",
            flush=True,
        )


def simulated(repeats, seed):
    """As ``lenses``, of corners with errors like those measured, without images: many sets."""
    lenses(repeats, seed, projected)


def one_lens(kind, rng, see):
    """Part by which the focal length is off (NaN: none), whether it was warned of, or refused."""
    camera, board = random_camera(rng), BOARDS[int(rng.integers(2))]
    off = np.nan
    try:
        fit = see(board, random_set(kind, board, camera, rng), rng)
        off = np.abs(fit.camera_model.k.diagonal()[:2] / camera.k.diagonal()[:2] - 1).max()
        check_determined(fit)
    except VimaError:
        return off, False, True
    return off, bool(intrinsics_warnings(fit)), False


def rendered(board, held, rng):
    """The fit of images; those on which the board is too small to be found are left out."""
    blur, noise = rng.uniform(0.4, 1.0), rng.uniform(1, 5)
    images = [h.image(blur=blur, noise=noise, rng=rng, samples=2) for h in held]
    found = [board.find(image) for image in images]
    return fit_found(board, [pair for pair in found if len(pair[0]) >= MIN_CORNERS], held)


def projected(board, held, rng):
    """The fit of projected corners: some 0.1 px off, 2 of 100 a whole pixel."""
    found, ids, sigma = [], np.arange(len(board.points)), rng.uniform(0.05, 0.15)
    for one in held:
        off = rng.normal(0, sigma, one.corners.shape)
        wrong = rng.random(len(off)) < 0.02
        off[wrong] = rng.normal(0, 1, (wrong.sum(), 2))
        found.append((ids, one.corners + off))
    return fit_found(board, found, held)


def fit_found(board, found, held):
    """As ``estimate_intrinsics`` does it."""
    if len(found) < MIN_IMAGES:
        raise VimaError("TOO_FEW_POINTS", f"{len(found)} images show the board")
    points = [board.points[ids] for ids, _ in found]
    return fit_intrinsics(points, [places for _, places in found], held[0].camera.size)


if __name__ == "__main__":
    given = sys.argv[1:]
    what, repeats, seed = given + ["20", "1"][len(given) - 1 :]
    {"corners": corners, "lenses": lenses, "simulated": simulated}[what](int(repeats), int(seed))
