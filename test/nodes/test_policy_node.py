"""The policy node with a checkpoint: prompts in another tokenizer's words are refused."""

from helpers import shared
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState

from vima_msgs.msg import EpisodeStatus, PromptToken, PromptTokens
from vima_ros.nodes import qos
from vima_ros.nodes.client import Client
from vima_ros.nodes.processes import NodeProcesses

ROWS = 400  # of the word table of golden/vima.ckpt


def test_word_ids_of_another_tokenizer_are_refused(tmp_path):
    checkpoint = shared("golden/vima.ckpt")
    with (
        NodeProcesses(tmp_path, robot="example") as processes,
        Client("prompter") as client,
    ):
        processes.start(["policy"], {"checkpoint": str(checkpoint)})
        episodes = client.listen(EpisodeStatus, "episode", qos.LATCHED)
        tokens = client.publisher(PromptTokens, "prompt_tokens", qos.LATCHED)
        for change in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=change))
            assert client.call(ChangeState, "policy/change_state", request, 60).success
        assert "UNTRAINED" not in processes.log("policy")

        for name, size, state in (
            ("ours", 1347, EpisodeStatus.FAILED),
            ("its_own", ROWS, EpisodeStatus.OBSERVING),
        ):
            message = PromptTokens(prompt_id=name, text="words", vocabulary_size=size)
            message.tokens = [PromptToken(kind=PromptToken.KIND_WORD, value=7)]
            tokens.publish(message)
            status = episodes.wait(lambda m, name=name: m.prompt_id == name, 30, "episode")
            assert status.state == state, status.message
        refused = next(m for m in episodes.messages if m.prompt_id == "ours")
        assert refused.code == EpisodeStatus.WRONG_TOKENIZER
        assert "1347" in refused.message
        assert str(ROWS) in refused.message
