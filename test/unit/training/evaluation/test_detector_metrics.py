import cv2
import numpy as np
import pytest
from helpers import data
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pycocotools", reason="pip install pycocotools (requirements/train.txt)")

from vima_ros.errors import DetectionError, VimaError
from vima_ros.perception.detectors.base import Detector
from vima_ros.perception.detectors.instances import FRAME_SHAPE, Instances
from vima_ros.perception.detectors.registry import make_detector
from vima_ros.specs import VIEWS
from vima_ros.training.evaluation import coco
from vima_ros.training.evaluation.detector_frames import (
    FIRST_EVALUATION_SEED,
    EvaluationFrame,
    bench_frames,
    check_seed,
    tabletop_frames,
)
from vima_ros.training.evaluation.detector_metrics import (
    compare,
    evaluate,
    exact_match_rate,
    mask_iou,
    match,
    measure,
    recalls,
)
from vima_ros.training.evaluation.detector_report import draw_run, make_report, write

SIDE = 20  # [px] of the objects below


def instances(*lefts, scores=None, shift=(0, 0), side=SIDE):
    """Squares in a row; ``shift``: x, y [px]."""
    mask = np.zeros(FRAME_SHAPE, np.uint16)
    for number, left in enumerate(lefts, 1):
        mask[50 + shift[1] :, left + shift[0] :][:side, :side] = number
    return Instances(mask, np.arange(1, len(lefts) + 1), scores or [1.0] * len(lefts))


def frame(*lefts, name="frame", source="tabletop, visual randomization 0", **options):
    mask = instances(*lefts, **options).mask.astype(np.uint8)
    rgb = np.full((2, *FRAME_SHAPE, 3), 40, np.uint8)
    masks, kinds = np.stack([mask, mask]), ("block",) * len(lefts)
    return EvaluationFrame("tabletop", False, source, name, rgb, masks, kinds)


def results(truth, found, count=1):
    return [compare(truth, "front", found, found) for _ in range(count)]


LEFTS = st.lists(st.integers(0, 8), min_size=1, max_size=9, unique=True).map(
    lambda places: [28 * place for place in places]
)


@settings(max_examples=20)
@given(LEFTS)
def test_perfect_finds_have_perfect_figures(lefts):
    quality = measure(results(frame(*lefts), instances(*lefts)))
    figures = (quality.ap, quality.ap50, quality.ap75, quality.recall)
    assert figures == pytest.approx((1.0,) * 4)
    assert (quality.edge_median, quality.edge_p95, quality.exact_match_rate) == (0.0, 0.0, 1.0)
    assert (quality.images, quality.objects) == (1, len(lefts))


@settings(max_examples=20)
@given(LEFTS, st.data())
def test_what_is_missing_lowers_recall_by_its_share(lefts, data):
    kept = data.draw(st.lists(st.sampled_from(lefts), unique=True))
    found = results(frame(*lefts), instances(*kept))
    quality, share = measure(found), len(kept) / len(lefts)
    assert quality.recall == pytest.approx(share)
    # COCO reads precision at 101 recalls from 0 to 1.
    assert quality.ap == pytest.approx(np.floor(100 * share + 1e-9) / 101 + (share > 0) / 101)
    assert quality.exact_match_rate == (len(kept) == len(lefts))
    assert recalls(found) == {"block": (len(lefts), share, 1.0 if kept else None)}


@pytest.mark.parametrize(
    # Squares of 20 px: n px aside share 20 (20 - n) of 20 (20 + n).
    ("shift", "iou", "ap", "ap50"),
    [(2, 18 / 22, 0.7, 1.0), (5, 15 / 25, 0.3, 1.0), (7, 13 / 27, 0.0, 0.0)],
)
def test_a_shift_costs_what_it_should(shift, iou, ap, ap50):
    found = results(frame(0, 100), instances(0, 100, shift=(shift, 0)))
    assert found[0].ious == pytest.approx(np.diag([iou, iou]))
    quality = measure(found)
    assert (quality.ap, quality.ap50) == pytest.approx((ap, ap50))
    assert quality.edge_median == (shift if ap50 else None)
    assert quality.exact_match_rate == ap50


def test_the_largest_of_the_four_edges_counts():
    found = instances(100, side=17)  # three short at the right and below
    (result,) = results(frame(100), found)
    assert result.edge_errors.tolist() == [3.0]


def test_order_and_numbers_of_what_is_found_do_not_matter():
    shuffled = measure(results(frame(0, 40, 80), instances(80, 0, 40)))
    assert (shuffled.ap, shuffled.exact_match_rate) == pytest.approx((1.0, 1.0))


def test_a_false_find_above_the_true_ones_costs_precision_and_the_count():
    (result,) = results(frame(0), instances(0, 100, scores=[0.6, 0.9]))
    assert measure([result]).ap == pytest.approx(0.5)
    assert result.errors() == (0, 1)


def test_recall_is_read_where_false_positives_average_one_per_image():
    """Of 2 images: true, false, false, true, false, by falling score. The last is too many."""
    images = [
        *results(frame(0), instances(0, 50, 90, scores=[0.9, 0.8, 0.3])),
        *results(frame(0), instances(50, 0, scores=[0.7, 0.5])),
    ]
    quality = measure(images)
    assert (quality.recall, quality.false_positives) == (1.0, 1.0)
    assert quality.threshold == pytest.approx(0.5)


def test_equal_scores_pass_the_threshold_together():
    quality = measure(results(frame(0), instances(0, 50, 90, scores=[0.9, 0.9, 0.9])))
    assert (quality.recall, quality.threshold) == (0.0, None)


def test_slivers_are_asked_for_only_where_that_is_wanted():
    truth = frame(0, 100)
    truth.masks[:, 50:, 100:] = 0
    truth.masks[:, 50:53, 100:103] = 2  # 9 px are left of it
    found = results(truth, instances(0))
    assert [exact_match_rate(found, n) for n in (1, 9, 10, 16)] == [0.0, 0.0, 1.0, 1.0]
    assert [measure(found, n).recall for n in (9, 10)] == [0.5, 1.0]
    both = results(truth, Instances(truth.masks[0], [1, 2], [1.0, 1.0]))
    assert [exact_match_rate(both, n) for n in (1, 16)] == [
        1.0,
        1.0,
    ]  # nor is it a mistake to find it
    assert measure(both).false_positives == 0.0


def test_matches_are_one_to_one_and_the_best():
    ious = np.array([[0.6, 0.9, 0.0], [0.5, 0.8, 0.4]])
    assert np.argwhere(match(ious)).tolist() == [[0, 1], [1, 0]]
    assert match(np.zeros((0, 2))).shape == (0, 2)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_overlaps_are_those_of_coco(seed):
    random = np.random.default_rng(seed)
    one, other = (
        Instances(
            cv2.resize(random.integers(0, 4, (4, 8), np.uint8), FRAME_SHAPE[::-1]).astype(
                np.uint16
            ),
            np.arange(1, 6),
            np.ones(5),
        )
        for _ in range(2)
    )
    codes = [coco.run_lengths(item) for item in (one, other)]
    mask = pytest.importorskip("pycocotools.mask")
    assert mask_iou(one, other) == pytest.approx(mask.iou(*codes, [0] * 5), abs=1e-6)


class Given(Detector):
    """Finds what it is told to, in one image after the other."""

    def __init__(self, *found):
        super().__init__()
        self.found = list(found)

    def _find(self, image_rgb, view, mask):
        found = self.found.pop(0)
        if isinstance(found, VimaError):
            raise found
        return found


def test_an_empty_picture_without_finds_is_right_and_measures_nothing_else():
    empty = Instances(np.zeros(FRAME_SHAPE, np.uint16), [], [])
    quality = measure(results(frame(), empty))
    assert (quality.exact_match_rate, quality.objects) == (1.0, 0)
    assert (quality.ap, quality.recall, quality.edge_median) == (None, None, None)


def test_a_refusal_counts_as_nothing_found_and_is_told():
    refusal = DetectionError("NO_UNIFORM_BACKGROUND", "too colourful")
    evaluation = evaluate([frame(0)], Given(refusal), Given(refusal))
    assert dict(evaluation.refused) == {"NO_UNIFORM_BACKGROUND": 1}
    assert [result.errors() for result in evaluation.results] == [(1, 0), (1, 0)]
    with pytest.raises(VimaError, match="broken"):
        evaluate([frame(0)], Given(VimaError("INVALID_VALUE", "broken")), Given())


def test_the_counts_are_of_one_detector_and_the_precision_of_the_other():
    evaluation = evaluate(
        [frame(0, 100)],
        Given(*[instances(0)] * 2),
        Given(*[instances(0, 100, scores=[0.9, 0.1])] * 2),
    )
    quality = measure(evaluation.results)
    assert (quality.ap, quality.exact_match_rate, len(evaluation.times)) == pytest.approx(
        (1, 0, 1)
    )


def test_the_report_says_what_was_reached_and_shows_the_worst(tmp_path):
    frames = [frame(0, 100, name="good"), frame(0, 100, name="bad")]
    found = [*[instances(0, 100)] * 2, *[instances(0, 200)] * 2]
    evaluation = evaluate(frames, Given(*found), Given(*found), keep_worst=1)
    report = make_report(evaluation, {"detector": "given"})
    page = write(report, evaluation, tmp_path)
    assert report.exact_match_frames["tabletop, all visual randomizations"][16] == 0.5
    assert report.worst == {"tabletop, visual randomization 0": ["bad"]}
    verdicts = {target.what: target.verdict for target in report.targets}
    assert (
        verdicts["tabletop, all visual randomizations: frames with the right count"] == "NOT MET"
    )
    assert verdicts["tabletop, all visual randomizations, top: box edges, median [px]"] == "met"
    assert verdicts["VIMA-Bench, front: AP50"] == "not measured"
    assert page == (tmp_path / "detector.md").read_text()
    assert (tmp_path / "detector.json").stat().st_size > 1000
    (image,) = (tmp_path / "worst").iterdir()
    assert cv2.imread(str(image)).shape[1] == 2 * 3 * FRAME_SHAPE[1]
    (_, _, seen), *_ = evaluation.worst["tabletop, visual randomization 0"]
    red = (draw_run(seen) == (255, 40, 40)).all(2)
    assert red[:, : red.shape[1] // 2].any()  # missed
    assert red[:, red.shape[1] // 2 :].any()  # of nothing


def test_seeds_of_the_training_are_refused():
    with pytest.raises(VimaError) as error:
        next(tabletop_frames(1, FIRST_EVALUATION_SEED - 1))
    assert error.value.code == "TRAINING_SEED"
    check_seed(FIRST_EVALUATION_SEED)


@pytest.mark.parametrize(("count", "looks"), [(0, [0.0]), (1, []), (1, [1.5])])
def test_frames_that_cannot_be_made_are_refused(count, looks):
    with pytest.raises(VimaError) as error:
        next(tabletop_frames(count, FIRST_EVALUATION_SEED, looks))
    assert error.value.code == "INVALID_VALUE"


@pytest.fixture(scope="module")
def tabletop():
    return list(tabletop_frames(3, FIRST_EVALUATION_SEED, [0.0, 1.0]))


@pytest.mark.slow
def test_frames_of_the_tabletop_are_the_same_again_and_of_known_objects(tabletop):
    again = list(tabletop_frames(3, FIRST_EVALUATION_SEED, [0.0, 1.0]))
    assert [f.name for f in again] == [f.name for f in tabletop]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(again, tabletop, strict=True))
    assert {f.source for f in tabletop} == {"tabletop, visual randomization 0", "tabletop prompts"}
    assert all(f.masks.max() <= len(f.kinds) for f in tabletop)
    assert all(all(f.kinds) for f in tabletop if not f.is_prompt_image)
    assert [f.is_prompt_image for f in tabletop] == [False, True] * 3


@pytest.mark.slow
def test_masks_are_perfect_and_a_plain_background_is_good_on_the_plain_table(tabletop):
    truth, plain = make_detector("ground_truth_masks"), make_detector("plain_background")
    perfect = measure(evaluate(tabletop, truth, truth).results)
    good = measure(evaluate(tabletop, plain, plain).results)
    assert (perfect.ap, perfect.exact_match_rate, perfect.edge_p95) == pytest.approx(
        (1.0, 1.0, 0.0)
    )
    assert good.ap50 > 0.9


def test_recorded_episodes_are_measured_in_both_views():
    frames = list(bench_frames(data("bench/episodes/rotate/1000.npz")))
    assert {f.source for f in frames} == {"VIMA-Bench", "VIMA-Bench prompts"}
    truth = make_detector("ground_truth_masks")
    evaluation = evaluate(frames, truth, truth)
    assert [r.view for r in evaluation.results] == list(VIEWS) * len(frames)
    assert measure(evaluation.results).ap == pytest.approx(1.0)
    assert all(kind for r in evaluation.results if r.source == "VIMA-Bench" for kind in r.kinds)
