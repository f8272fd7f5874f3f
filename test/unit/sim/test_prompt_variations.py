"""Variations of prompts: what they change, what they leave, and what the goal then is."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from vima_ros.errors import VimaError
from vima_ros.policy.tokenizer import PromptTokenizer
from vima_ros.sim.episode_runner import EpisodeRunner
from vima_ros.sim.prompt_variations import NONSENSE_WORDS, PromptVariation, vary
from vima_ros.sim.tasks import TASKS
from vima_ros.sim.tasks.base import TaskOutcome
from vima_ros.sim.tasks.paraphrases import PARAPHRASES
from vima_ros.sim.tasks.prompt_templates import pattern, placeholders

AS_WRITTEN, PARAPHRASE, SCRAMBLED, SWAPPED, SWAPPED_MEANING = PromptVariation
SEEDS = range(8)
SWAPPABLE = [name for name, task in TASKS.items() if SWAPPED.applies_to(task)]
WITH_MEANING = [name for name, task in TASKS.items() if SWAPPED_MEANING.applies_to(task)]
# Images of another role than all others of their prompt, where the rest can be exchanged alone.
KEPT = {
    "novel_adj": {"dragged_obj", "base_obj"},
    "novel_adj_and_noun": {"dragged_obj", "base_obj"},
    "pick_in_order_then_restore": {"dragged_obj"},
    "twist": set(),
}


def episodes(name):
    return [TASKS[name].sample(seed) for seed in SEEDS]


def parts(prompt):
    """Placeholders, words and punctuation, in order."""
    return re.findall(r"\{\w+\}|\w+|[^\w\s]", prompt)


def words(prompt):
    return [part for part in parts(prompt) if re.fullmatch(r"\w+", part)]


def unknown(prompt):
    """Words of a prompt that are not one piece of the bundled tokenizer."""
    tokenizer = PromptTokenizer()
    tokens = tokenizer.encode(prompt, placeholders(prompt))
    pieces = [tokenizer.piece(token).strip("▁") for token in tokens if isinstance(token, int)]
    return Counter(words(prompt)) - Counter(pieces)


def test_every_task_has_its_wordings():
    assert set(PARAPHRASES) == set(TASKS)


@pytest.mark.parametrize(
    ("template", "wordings"),
    [
        (template, wordings)
        for name, task in TASKS.items()
        for template, wordings in zip(task.templates, PARAPHRASES[name], strict=True)
    ],
)
def test_a_wording_keeps_placeholders_and_slots_of_the_template(template, wordings):
    assert len(set(wordings)) == len(wordings) >= 2
    for wording in wordings:
        assert set(placeholders(wording)) == set(placeholders(template))
        assert set(re.findall(r"<\w+>", wording)) == set(re.findall(r"<\w+>", template))
        assert not pattern(template).fullmatch(wording)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_paraphrase_is_another_sentence_of_known_words_and_the_same_episode(name):
    for episode in episodes(name):
        other = vary(episode, PARAPHRASE)
        assert not any(pattern(form).fullmatch(other.prompt) for form in TASKS[name].templates)
        assert not unknown(other.prompt)
        assert "<" not in other.prompt
        assert list(other.assets) == list(placeholders(other.prompt))
        assert replace(other, prompt=episode.prompt, assets=episode.assets) == episode
        assert all(other.assets[key] is asset for key, asset in episode.assets.items())


def test_a_task_takes_all_of_its_wordings():
    for name in TASKS:
        shapes = {
            re.sub(r"(?<!\{)\b\d+\b", "", vary(e, PARAPHRASE).prompt) for e in episodes(name)
        }
        assert len(shapes) >= 2


def test_a_prompt_of_no_template_has_no_paraphrase():
    episode = replace(TASKS["rotate"].sample(0), prompt="Lift the {dragged_obj}.")
    with pytest.raises(VimaError, match="Lift the"):
        vary(episode, PARAPHRASE)


@pytest.mark.parametrize("name", TASKS)
def test_scrambling_leaves_images_and_number_of_words(name):
    for episode in episodes(name):
        other = vary(episode, SCRAMBLED)
        before, after = parts(episode.prompt), parts(other.prompt)
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            assert new in NONSENSE_WORDS if re.fullmatch(r"\w+", old) else new == old
        assert replace(other, prompt=episode.prompt) == episode


def test_nonsense_is_known_to_the_tokenizer_and_to_no_task():
    assert not unknown(" ".join(NONSENSE_WORDS))
    assert len(set(NONSENSE_WORDS)) == len(NONSENSE_WORDS)
    for name in TASKS:
        for episode in episodes(name):
            for variation in (AS_WRITTEN, PARAPHRASE):
                text = vary(episode, variation).prompt.lower()
                assert not set(NONSENSE_WORDS) & set(words(text))


def test_a_word_that_comes_twice_is_not_replaced_alike():
    episode = TASKS["novel_noun"].sample(0)
    scrambled = dict(
        zip(words(episode.prompt), words(vary(episode, SCRAMBLED).prompt), strict=True)
    )
    pairs = set(zip(words(episode.prompt), words(vary(episode, SCRAMBLED).prompt), strict=True))
    assert len(pairs) > len(scrambled)


@pytest.mark.parametrize("name", SWAPPABLE)
def test_swapping_is_a_permutation_that_keeps_no_exchanged_image_in_place(name):
    for episode in episodes(name):
        other = vary(episode, SWAPPED)
        assert list(other.assets) == list(episode.assets)
        assert {id(a) for a in other.assets.values()} == {id(a) for a in episode.assets.values()}
        kept = {key for key, asset in episode.assets.items() if other.assets[key] is asset}
        assert kept == KEPT.get(name, set())
        assert replace(other, assets=episode.assets) == episode


def test_what_has_one_image_has_none_to_swap():
    for name, task in TASKS.items():
        assert (len(task.sample(0).assets) > 1) == (name in SWAPPABLE)
    assert set(WITH_MEANING) == set(KEPT) <= set(SWAPPABLE)


@pytest.mark.slow
@pytest.mark.parametrize("variation", PromptVariation)
def test_a_seed_gives_one_prompt(variation):
    for name, task in TASKS.items():
        if not variation.applies_to(task):
            continue
        first, again = ([vary(e, variation) for e in episodes(name)] for _ in range(2))
        assert first == again
        if variation in (PARAPHRASE, SCRAMBLED):
            assert len({e.prompt for e in first}) > 1
        assert (first == episodes(name)) == (variation == AS_WRITTEN)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_MEANING)
def test_the_swapped_prompt_has_a_goal_of_its_own(name):
    """Who does what one prompt says has not done what the other says."""
    written = TASKS[name].sample(0)
    swapped = vary(written, SWAPPED_MEANING)
    assert swapped.assets == vary(written, SWAPPED).assets
    for does, other in ((written, swapped), (swapped, written)):
        criterion = TASKS[name].success_criterion(other)
        with EpisodeRunner(does) as run:
            oracle = run.task.oracle(does, None)
            while not run.done:
                run.step(*oracle.act(run.world_state()))
                criterion.update(run.world_state())
            assert run.result.outcome == TaskOutcome.SUCCESS
            assert criterion.result.outcome != TaskOutcome.SUCCESS
