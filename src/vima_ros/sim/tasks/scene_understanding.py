"""Task: put the object with a texture in the image of a scene into the base with another."""

from __future__ import annotations

import numpy as np

from vima_ros.sim.model.textures import texture_words
from vima_ros.sim.scene import Scene
from vima_ros.sim.tasks.base import EpisodeSpec
from vima_ros.sim.tasks.layout import LayoutSampler, choose
from vima_ros.sim.tasks.placement import PlacementGoal, PlacementTask, base_and_dragged, into
from vima_ros.sim.tasks.prompt_templates import fill, scene_asset
from vima_ros.sim.tasks.splits import Split


class SceneUnderstanding(PlacementTask):
    """Selection that is ambiguous without the image.

    On the table is either another object with the texture of the dragged one, which is not in the
    image, or another base of the same shape.
    """

    name = "scene_understanding"
    templates = ("Put the <texture> object in {scene} into the <base_texture> object.",)
    step_limit = 3
    names_textures = True

    def _draw(
        self, random: np.random.Generator, split: Split, layout: LayoutSampler
    ) -> EpisodeSpec:
        base, dragged = base_and_dragged(layout, random, split, "dragged_obj")
        named = {base.texture, dragged.texture}
        textures = [texture for texture in split.textures if texture not in named]
        others = [shape for shape in split.dragged_shapes if shape != dragged.shape]
        if random.random() < 0.5:
            variant = choose(random, others), dragged.texture
        else:
            variant = base.shape, choose(random, textures)
        distractor = layout.place("distractor_obj", *variant)
        elsewhere = layout.empty()
        scene = (
            elsewhere.place(dragged.name, dragged.shape, dragged.texture),
            elsewhere.place("scene_obj", choose(random, others), choose(random, textures)),
        )
        prompt = fill(
            self.template,
            texture=texture_words(dragged.texture),
            base_texture=texture_words(base.texture),
        )
        goal = PlacementGoal(((into(base, dragged.name),),), (distractor.name,))
        assets = {"scene": scene_asset(*scene)}
        return EpisodeSpec(Scene((base, dragged, distractor)), prompt, assets, goal)
