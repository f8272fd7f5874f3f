"""Training interrupted and resumed ends as in one go; training_interrupts.py does it at length."""

import pytest
from training_interrupts import TrainingInterrupts


@pytest.mark.slow
@pytest.mark.parametrize("program", ["train_policy", "train_detector"])
def test_interrupted_training_ends_with_the_weights_of_one_in_one_go(program, tmp_path):
    if program == "train_detector":
        pytest.importorskip("torchvision", reason="no torchvision: run `make test-train`")
    interrupts = TrainingInterrupts(program, 30, 3, seed=1, folder=tmp_path)
    interrupts.run()
    assert not interrupts.faults, interrupts.table()
