import cv2
import numpy as np
import pytest
from compare_with_vima_bench import compare_sizes, draw, main, our_name, read_scene
from helpers import data, shared

from vima_ros.sim.model.shapes import SHAPES
from vima_ros.sim.model.textures import TEXTURES


def sample(task):
    (path,) = data(f"bench/episodes/{task}").glob("*.npz")
    return path


def training_sample(task):
    return sorted(shared(f"bench/train/{task}").glob("*.npz"))[:12]


@pytest.mark.slow
@pytest.mark.shared
def test_objects_are_as_large_as_vima_benchs_in_both_views():
    """Median height, width and area of each shape seen at least three times: within 15%."""
    tasks = ("visual_manipulation", "rearrange", "sweep_without_exceeding", "novel_noun", "twist")
    sizes = compare_sizes([episode for task in tasks for episode in training_sample(task)])
    compared = {key: pairs for key, pairs in sizes.items() if len(pairs) >= 3}
    assert len({shape for shape, _ in compared}) >= 15
    for key, pairs in compared.items():
        theirs, ours = (np.median([pair[k] for pair in pairs], axis=0) for k in (0, 1))
        assert np.abs(ours / theirs - 1.0).max() < 0.15, key


def test_each_object_covers_the_pixels_that_it_covers_there():
    """Of all their objects' pixels, both views: at least 85% have the same object in ours."""
    episode = sample("visual_manipulation")
    with np.load(episode) as arrays:
        theirs = arrays["obs_rgb_top"][0].transpose(1, 2, 0).astype(int)
    ours = draw(episode)[:, 768:].astype(int)
    assert draw(episode).shape == (128, 1024, 3)
    table = (theirs == 47).all(axis=2) & (ours == 47).all(axis=2)
    assert table.sum() > 25000
    alike = np.abs(theirs - ours).max(axis=2) < 60
    assert alike.mean() > 0.97


def test_the_names_of_all_recorded_objects_are_known():
    for task in ("follow_order", "novel_adj"):
        scene, our_id = read_scene(sample(task))
        assert sorted(our_id.values()) == list(range(1, len(scene.objects) + 1))
    assert our_name("L-shaped block") in SHAPES
    assert our_name("dark red and yellow polka dot") in TEXTURES
    assert our_name("gray") in TEXTURES


@pytest.mark.shared
def test_taller_ones_are_taller_here_too():
    factors = {
        item.height_factor
        for episode in training_sample("novel_adj")
        for item in read_scene(episode)[0].objects
    }
    assert min(factors) < 0.5
    assert max(factors) > 2.0


def test_the_program_writes_the_image_and_prints_the_sizes(tmp_path, capsys):
    episode = sample("rotate")
    main([str(episode), "--out", str(tmp_path / "both.png")])
    assert cv2.imread(str(tmp_path / "both.png")).shape == (148, 1024, 3)
    assert "ours / theirs" in capsys.readouterr().out


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_scene(tmp_path / "none.npz")
