# Everything prepares itself: see ./vima. BAG=DIR and OUT=DIR choose a recording and where to write.
OUT ?= out

.PHONY: demo test bench replay lint setup clean

demo:  ## simulated tabletop, three prompts, pictures under out/
	./vima demo --out $(OUT)

test:  ## formatting, lint, types, unit tests, node tests
	./vima exec $(MAKE) --no-print-directory lint
	./vima exec python -m pytest $(PYTEST_ARGS)

lint:
	ruff format --check .
	ruff check .
	mypy

bench:  ## how fast the policy decides, what the Fast DDS profile changes: also $(OUT)/bench.md, .json
	./vima bench --out $(OUT)

replay:  ## a recorded bag through the real nodes: make replay BAG=DIR [OUT=DIR]
	@test -n "$(BAG)" || { echo "say which bag: make replay BAG=DIR [OUT=DIR]"; exit 2; }
	./vima replay --bringup "$(BAG)" --out "$(OUT)"

setup:
	./vima setup

clean:
	rm -rf .venv build install log out
