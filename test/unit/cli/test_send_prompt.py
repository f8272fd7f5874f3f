"""Pictures that a prompt is sent with, from files."""

import numpy as np
import pytest
from encoded_images import END, jpeg, png

from vima_msgs.action import ExecutePrompt
from vima_msgs.msg import PromptAsset
from vima_ros.cli.send_prompt import report_result
from vima_ros.errors import VimaError
from vima_ros.nodes.common.image_conversion import decode_colour
from vima_ros.nodes.common.prompt_conversions import asset_from_files


def test_transparent_pixels_of_a_file_are_white(tmp_path):
    rgba = np.uint8([[9, 9, 9, 0, 200, 10, 20, 255]])
    path = tmp_path / "block.png"
    path.write_bytes(png(rgba, 8, 6))
    asset = asset_from_files(f"block={path}", PromptAsset.KIND_OBJECT)
    assert decode_colour(asset.front).tolist() == [[[255] * 3, [200, 10, 20]]]


def test_a_file_that_lost_data_is_refused_by_name(tmp_path):
    path = tmp_path / "block.jpg"
    path.write_bytes(jpeg()[:9000] + END)
    with pytest.raises(VimaError, match=r"block\.jpg") as caught:
        asset_from_files(f"block={path}", PromptAsset.KIND_OBJECT)
    assert caught.value.code == "BAD_IMAGE"


@pytest.mark.parametrize(
    ("code", "message", "exit_code", "out", "err"),
    [
        ("NONE", "", 0, "SUCCESS after 3 decisions\n", ""),
        ("STEP_LIMIT", "STEP_LIMIT: 3 decisions", 4, "STEP_LIMIT: 3 decisions\n", ""),
        ("PROMPT_REFUSED", "NO_OBJECT: {a}", 1, "", "refused: NO_OBJECT: {a}\n"),
        ("POLICY_FAILED", "HISTORY_FULL: full", 8, "HISTORY_FULL: full\n", ""),
        ("UNKNOWN", "NEW: fault", 8, "NEW: fault\n", ""),
    ],
)
def test_the_end_of_a_goal_is_printed_once_with_its_code(
    code, message, exit_code, out, err, capsys
):
    number = getattr(ExecutePrompt.Result, code)
    assert report_result(ExecutePrompt.Result(error_code=number, error_msg=message, steps=3)) == (
        exit_code
    )
    assert capsys.readouterr() == (out, err)
