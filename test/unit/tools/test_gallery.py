import numpy as np
from gallery import gallery, tile

from vima_ros.sim.tabletop import Tabletop
from vima_ros.sim.tasks import find_task


def test_a_tile_shows_both_views_and_the_prompt():
    episode = find_task("novel_adj_and_noun").sample(0)
    picture = tile(episode)
    with Tabletop(episode.scene) as tabletop:
        tabletop.advance(0.3)
        views = np.concatenate([tabletop.render("front"), tabletop.render("top")], axis=1)
    place = [y for y in range(60) if (picture[y : y + 128] == views).all()]
    assert len(place) == 1
    prompt = picture[place[0] + 128 :]
    assert (prompt < 255).any(axis=(1, 2)).sum() > 60  # several lines
    assert (prompt.max(axis=2) - prompt.min(axis=2) > 60).sum() > 500  # with coloured pictures


def test_tiles_of_different_height_make_rows():
    picture = gallery(["rotate", "twist", "rearrange", "novel_noun"])
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 3 * 512
    assert (picture[-150:, -512:] == 255).all()  # the second row has one tile
    assert (picture[-150:, :512] < 255).any()
