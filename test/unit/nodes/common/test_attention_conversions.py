import numpy as np
import pytest

from vima_msgs.msg import PolicyAction
from vima_ros.decision_attention import AttentionToken, DecisionAttention
from vima_ros.errors import VimaError
from vima_ros.nodes.common.attention_conversions import (
    attention_from_message,
    attention_to_message,
)


def an_attention(layers=2, prompt_heads=3, history_heads=4):
    rng = np.random.default_rng(0)
    prompt = (
        AttentionToken("Put", 0, word=5),
        AttentionToken("{a}", 1, view="front"),
        AttentionToken("{a}", 1, view="top", slot=1),
    )
    observed = (
        AttentionToken(view="front", box=(9, 8, 5, 6), track_id=3),
        AttentionToken(view="top", slot=1, box=(200, 100, 20, 30)),
    )
    return DecisionAttention(
        prompt,
        observed,
        rng.random((layers, prompt_heads, 2, 3)),
        rng.random((layers, prompt_heads, 3)),
        rng.random((layers, history_heads, 2)),
    )


def test_an_attention_survives_its_message():
    action = PolicyAction(prompt_id="p", step=4)
    action.observation_stamp.sec = 17
    sent = an_attention()
    message = attention_to_message(sent, action)
    assert (message.prompt_id, message.step, message.observation_stamp.sec) == ("p", 4, 17)
    got = attention_from_message(message)
    assert got.observed == sent.observed
    assert [t.text for t in got.prompt] == ["Put", "{a}", "{a}"]
    assert got.labels == ("Put", "{a}")
    for name in ("objects", "action", "action_objects"):
        np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))
    assert got.describe() == sent.describe()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: setattr(m, "layers", 3),
        lambda m: m.objects.pop(),
        lambda m: setattr(m, "action", [float("nan")] * len(m.action)),
        lambda m: m.observed.pop(),
    ],
)
def test_sizes_that_do_not_agree_are_refused(spoil):
    message = attention_to_message(an_attention(), PolicyAction())
    spoil(message)
    with pytest.raises(VimaError, match="valid") as raised:
        attention_from_message(message)
    assert raised.value.code == "INVALID_VALUE"
