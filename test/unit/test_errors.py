import pickle

import pytest

from vima_ros.errors import VimaError


def test_an_error_reaches_another_process_whole():
    error = VimaError("NO_ROOM", "too full")
    for copy in (pickle.loads(pickle.dumps(error)), VimaError(error)):
        assert (copy.code, str(copy)) == ("NO_ROOM", "too full")
    with pytest.raises(TypeError):
        VimaError("a message without a code")
