"""The four ways to condition on a prompt that the paper compares, one file each.

All else is shared: words and T5, the encoder and decoder of actions, the layers of the history.
"""

from vima_ros.policy.model.conditioning.base import Conditioning
from vima_ros.policy.model.conditioning.flamingo import FLAMINGO
from vima_ros.policy.model.conditioning.gato import GATO
from vima_ros.policy.model.conditioning.gpt import GPT
from vima_ros.policy.model.conditioning.vima import VIMA

CONDITIONINGS: dict[str, Conditioning] = {
    "vima": VIMA,
    "gpt": GPT,
    "gato": GATO,
    "flamingo": FLAMINGO,
}
