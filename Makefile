# Everything prepares itself: see ./vima. BAG=DIR and OUT=DIR choose a recording and where to write.
OUT ?= out
TORCHVISION_TESTS = test/unit/perception/detectors/test_*_mask_rcnn.py \
	test/unit/training/detector/test_trainer.py test/unit/test_weight_files.py \
	test/faults/test_training_interrupts.py

.PHONY: demo test test-train bench replay lint setup setup-train clean

demo: setup  ## tasks in simulation, executed by the trained policy: out/index.html, out/demo.mp4
	./vima demo --out $(OUT)

test: setup  ## formatting, lint, types, unit tests (two at a time), node tests (one by one)
	./vima exec $(MAKE) --no-print-directory lint
	./vima exec python -m pytest test/unit --numprocesses 2
	./vima exec python -m pytest test --ignore test/unit

test-train: setup-train  ## what needs torchvision: the detector's training, its torch backend (5 GB more)
	./vima --train exec python -m pytest $(TORCHVISION_TESTS)

lint:
	ruff format --check .
	ruff check .
	mypy

bench: setup-train  ## how fast everything is, beside baselines (5 GB more): also $(OUT)/bench.md, .json
	./vima bench --out $(OUT)

replay: setup  ## a recorded bag through the real nodes: make replay BAG=DIR [OUT=DIR]
	@test -n "$(BAG)" || { echo "say which bag: make replay BAG=DIR [OUT=DIR]"; exit 2; }
	./vima replay --bringup "$(BAG)" --out "$(OUT)"

setup:
	./vima setup

setup-train:
	./vima --train setup

clean:
	rm -rf .venv .venv-* build install log out
