"""Other wordings of every task's prompt, with the same meaning and the same placeholders.

Each word is one piece of the bundled tokenizer. {placeholder} and <word> are as in the templates;
a placeholder that a template has twice may come once, and in another order.
"""

from __future__ import annotations

from collections.abc import Mapping

Wordings = tuple[str, ...]

# Examples of an adjective; in _IS_LESS the images of each pair come in the other order.
_IS_ONE = " ".join(
    f"From {{demo_blicker_obj_{k}}} and {{demo_less_blicker_obj_{k}}}, the first is <adjective>."
    for k in (1, 2, 3)
)
_IS_LESS = " ".join(
    f"{{demo_less_blicker_obj_{k}}} is less <adjective> than {{demo_blicker_obj_{k}}}."
    for k in (1, 2, 3)
)
_NOUNS = "{dragged_obj} is a <noun>. {base_obj} is a <base_noun>."
_NOUNS_REVERSED = "A <base_noun> is like {base_obj}. A <noun> is like {dragged_obj}."
_ADJ_AND_NOUN = (
    f"{_NOUNS} {_IS_LESS} Pick up the <adjective> <noun> and place it in the <base_noun>.",
    f"{_NOUNS_REVERSED} {_IS_ONE} Move the <adjective> <noun> inside the <base_noun>.",
)
_LESS_ADJ_AND_NOUN = (
    f"{_NOUNS} {_IS_LESS} Pick up the less <adjective> <noun> and place it in the <base_noun>.",
    f"{_NOUNS_REVERSED} {_IS_ONE} Move the <noun> that is less <adjective> inside the "
    "<base_noun>.",
)

# Of each task: the wordings of each of its templates, in their order.
PARAPHRASES: Mapping[str, tuple[Wordings, ...]] = {
    "visual_manipulation": (
        (
            "Pick up the {dragged_obj_1} and place it in the {base_obj}.",
            "Please move the {dragged_obj_1} inside the {base_obj}.",
            "First find the {base_obj}, then drop the {dragged_obj_1} into it.",
        ),
    ),
    "scene_understanding": (
        (
            "From {scene} take the <texture> object and drop it into the <base_texture> one.",
            "Please look at {scene} and move its <texture> object into the <base_texture> object.",
            "Pick up the <texture> piece of {scene} and place it in the <base_texture> one.",
        ),
    ),
    "rotate": (
        (
            "Turn the {dragged_obj} by <angle> degrees.",
            "Please turn the {dragged_obj} clockwise by <angle> degrees.",
            "Take the {dragged_obj} and turn it <angle> degrees.",
        ),
    ),
    "rearrange": (
        (
            "Arrange everything on the table like this: {scene}.",
            "Move the objects until the table is like {scene}.",
            "Put every object where it is in {scene}.",
        ),
    ),
    "rearrange_then_restore": (
        (
            "Arrange everything like this: {scene}. Then put it back as it was before.",
            "Move the objects to match {scene} and then return each one to its first place.",
            "First make the table look like {scene}, then reset it.",
        ),
    ),
    "novel_adj": (
        (
            f"{_IS_LESS} Pick up the <adjective> {{dragged_obj}} and place it in the "
            "{base_obj}.",
            f"{_IS_ONE} Move the <adjective> {{dragged_obj}} inside the {{base_obj}}.",
        ),
        (
            f"{_IS_LESS} Pick up the less <adjective> {{dragged_obj}} and place it in the "
            "{base_obj}.",
            f"{_IS_ONE} Move the {{dragged_obj}} that is less <adjective> inside the "
            "{base_obj}.",
        ),
    ),
    "novel_noun": (
        (
            "{dragged_obj_1} is a <noun>. {base_obj} is a <base_noun>. "
            "Pick up a <noun> and place it in a <base_noun>.",
            "A <base_noun> is like {base_obj}. A <noun> is like {dragged_obj_1}. "
            "Move the <noun> inside the <base_noun>.",
        ),
        (
            "{base_obj} is a <base_noun>. {dragged_obj_1} is a <noun>. "
            "Pick up a <noun> and place it in a <base_noun>.",
            "A <noun> is like {dragged_obj_1}. A <base_noun> is like {base_obj}. "
            "Move the <noun> inside the <base_noun>.",
        ),
    ),
    "novel_adj_and_noun": (
        _ADJ_AND_NOUN,
        _ADJ_AND_NOUN,
        _LESS_ADJ_AND_NOUN,
        _LESS_ADJ_AND_NOUN,
    ),
    "twist": (
        (
            "A twist is a rotation by one specific angle, as in these examples: "
            "from {before_twist_1} to {after_twist_1}, from {before_twist_2} to {after_twist_2}, "
            "from {before_twist_3} to {after_twist_3}. Now turn every <texture> object like that.",
            "Follow these examples: {before_twist_1} to {after_twist_1}, {before_twist_2} to "
            "{after_twist_2} and {before_twist_3} to {after_twist_3}. Then do the same with all "
            "<texture> objects.",
            "First look at the examples: {after_twist_1} was {before_twist_1} before, "
            "{after_twist_2} was {before_twist_2} before, {after_twist_3} was {before_twist_3} "
            "before. Now turn all <texture> objects by the same angle.",
        ),
    ),
    "follow_motion": (
        (
            "Move {dragged_obj} like this: {frame_0} {frame_1} {frame_2}.",
            "Take {dragged_obj} from {frame_0} to {frame_1} and then to {frame_2}.",
            "Please repeat the motion from {frame_0} to {frame_1} to {frame_2} "
            "with {dragged_obj}.",
        ),
    ),
    "follow_order": (
        (
            "First {frame_0}, then {frame_1}, and last {frame_2}: build it like this.",
            "Move the objects from {frame_0} to {frame_1} and then to {frame_2}.",
            "Please build this tower step by step: {frame_0} {frame_1} {frame_2}.",
        ),
    ),
    "sweep_without_exceeding": (
        (
            "Push <determiner> {swept_obj} into {bounds} but not over {constraint}.",
            "Please move <determiner> {swept_obj} inside {bounds} and do not cross {constraint}.",
            "Please stop before {constraint} and push <determiner> {swept_obj} into {bounds}.",
        ),
    ),
    "sweep_without_touching": (
        (
            "Push <determiner> {swept_obj} into {bounds} but do not touch {constraint}.",
            "Please move <determiner> {swept_obj} inside {bounds} but never over {constraint}.",
            "Please keep away from {constraint} and push <determiner> {swept_obj} into {bounds}.",
        ),
    ),
    "same_texture": (
        (
            "Take all objects that match the texture of {base_obj} and put them into it.",
            "Move every object with the texture of {base_obj} inside it.",
            "First look at {base_obj}, then put each object of the same texture into it.",
        ),
    ),
    "same_shape": (
        (
            "Take all objects that match the profile of {base_obj} and put them into it.",
            "Move every object with the profile of {base_obj} inside it.",
            "First look at {base_obj}, then put each object of the same profile into it.",
        ),
    ),
    "manipulate_old_neighbor": (
        (
            "Move {dragged_obj} into {base_obj}. Then take the object that was to the <direction> "
            "of it before and put it into {base_obj}.",
            "Pick up {dragged_obj} and drop it into {base_obj}, then do the same with the object "
            "that was at its <direction>.",
            "First {dragged_obj}, then the object that was at its <direction>: put the two "
            "into {base_obj}.",
        ),
    ),
    "pick_in_order_then_restore": (
        (
            "Move {dragged_obj} to {base_obj_1}, after that to {base_obj_2}, and last back to the "
            "container where it was.",
            "First place {dragged_obj} in {base_obj_1}, then in {base_obj_2}, then return it to "
            "its first container.",
            "Take {dragged_obj} to {base_obj_1} and {base_obj_2} in this order, then bring it "
            "back to where it was before.",
        ),
    ),
}
