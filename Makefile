# Everything prepares itself: see ./vima. BAG=DIR and OUT=DIR choose a recording and where to write.
OUT ?= out
TORCHVISION_TESTS = test/unit/perception/detectors/test_*_mask_rcnn.py \
	test/unit/training/detector/test_trainer.py test/unit/test_weight_files.py \
	test/faults/test_training_interrupts.py

.PHONY: demo test test-fast lint-and-unit-tests unit-tests node-tests smoke-test test-train coverage measured-tests bench replay lint setup setup-train clean

demo: setup  ## tasks in simulation by the trained policy, or CONDITIONING=gpt: out/index.html, out/demo.mp4
	./vima demo --out $(OUT) $(if $(CONDITIONING),--checkpoint $(CONDITIONING))

# Node tests mostly wait for their processes: three at a time leave a third of two cores idle. What
# only computes takes that third, with a priority (nice) that keeps nothing else from its turn.
# Its output is shown when it ends, that of the node tests as it comes.
BESIDE_EACH_OTHER = ./vima exec $(MAKE) --no-print-directory --jobs 2

test: setup  ## formatting, lint, types, unit tests; beside these the node tests, three at a time
	$(BESIDE_EACH_OTHER) lint-and-unit-tests node-tests

test-fast: setup  ## quick: formatting, lint, types, unit tests but slow ones, a whole suite once
	$(BESIDE_EACH_OTHER) SELECTION='-m "not slow"' lint-and-unit-tests smoke-test

lint-and-unit-tests:
	mkdir -p log
	nice -n 19 $(MAKE) --no-print-directory lint unit-tests >log/unit-tests.log 2>&1; \
	status=$$?; cat log/unit-tests.log; exit $$status

unit-tests:
	python -m pytest test/unit --numprocesses 2 --dist worksteal $(SELECTION)

node-tests:
	python -m pytest test --ignore test/unit --numprocesses 3 --dist loadfile --no-loadscope-reorder

smoke-test:
	python -m pytest test/test_layering.py test/nodes/test_task_suite.py

test-train: setup-train  ## what needs torchvision: the detector's training, its torch backend (5 GB more)
	./vima --train exec python -m pytest $(TORCHVISION_TESTS)

coverage: setup  ## which lines the tests run, in every process: 90 % or more outside cli/
	rm -rf log/coverage
	mkdir -p log/coverage
	./vima exec $(MAKE) --no-print-directory measured-tests

measured-tests: export COVERAGE_FILE = $(CURDIR)/log/coverage/data
measured-tests:
	python -m coverage run -m pytest test/unit --numprocesses 2 --dist worksteal
	python -m coverage run -m pytest test --ignore test/unit --numprocesses 2 --dist loadfile --no-loadscope-reorder
	python -m coverage combine --quiet
	python -m coverage report

lint:
	ruff format --check .
	ruff check .
	mypy
	vermin --quiet --target=3.10- --exclude compression --exclude compression.zstd --violations --no-tips src/vima_ros tools

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
