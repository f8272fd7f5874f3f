"""Each change of the episode once, from histories that overlap, or do not."""

from hypothesis import given
from hypothesis import strategies as st

from vima_ros.client.episode_changes import EpisodeChanges

LENGTH = 20  # of a history


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=70), st.data())
def test_none_is_missed_and_none_comes_twice(changes, data):
    """Histories may be lost on the way, as long as not LENGTH changes are between two."""
    follow, got, at = EpisodeChanges(), [], 0
    numbered = list(enumerate(changes))  # a status has its stamp
    while at < len(numbered):
        at = min(len(numbered), at + data.draw(st.integers(1, LENGTH - 1)))
        got += follow.new_in(numbered[max(0, at - LENGTH) : at])
    assert got == numbered


def test_a_state_that_comes_again_under_the_same_stamp():
    follow = EpisodeChanges()
    assert follow.new_in(["a"]) == ["a"]
    assert follow.new_in(["a", "b", "a"]) == ["b", "a"]
    assert follow.new_in(["a", "b", "a"]) == []


def test_after_a_restart_of_the_policy_node_all_is_new():
    follow = EpisodeChanges()
    assert follow.new_in(["a", "b"]) == ["a", "b"]
    assert follow.new_in(["idle"]) == ["idle"]
    assert follow.new_in([]) == []
