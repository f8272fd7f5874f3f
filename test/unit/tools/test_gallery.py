import numpy as np
from gallery import gallery, tile

from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import find_task


def test_a_tile_shows_both_views_and_the_prompt():
    episode = find_task("novel_adj_and_noun").sample(0)
    image = tile(episode)
    with Tabletop(episode.scene) as tabletop:
        tabletop.advance(0.3)
        views = np.concatenate([tabletop.render("front"), tabletop.render("top")], axis=1)
    place = [y for y in range(60) if (image[y : y + 128] == views).all()]
    assert len(place) == 1
    prompt = image[place[0] + 128 :]
    assert (prompt < 255).any(axis=(1, 2)).sum() > 60  # several lines
    assert (prompt.max(axis=2) - prompt.min(axis=2) > 60).sum() > 500  # with coloured images


def test_tiles_of_different_height_make_rows():
    image = gallery(["rotate", "twist", "rearrange", "novel_noun"])
    assert image.dtype == np.uint8
    assert image.shape[1] > 3 * 512
    assert (image[-150:, -512:] == 255).all()  # the second row has one tile
    assert (image[-150:, :512] < 255).any()
