# make demo and make test work on a bare machine: the first use sets up Caffe (tools/caffe-env).
PYTHON = tools/caffe-env python

.PHONY: help demo table1 test test-quick lint prototxt

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1: /p' Makefile

demo: ## segment photographs; train both stages on synthetic scenes, evaluate, write out/demo/report.html (FRESH=1: from the start)
	-test -e out/photographs/sheet.jpg || $(PYTHON) tools/segment.py --examples --out out/photographs
	$(PYTHON) tools/reproduce.py --size slim --out out/demo --jobs 1 --no-timing \
		--method whole-image --method lowres --method highres $(if $(FRESH),--fresh)

table1: ## train and score every row of Table 1 on those scenes, time them (Table 2), in out/table1
	$(PYTHON) tools/reproduce.py --size slim --out out/table1 $(if $(FRESH),--fresh)

test: ## run every test
	$(PYTHON) -m pytest tests

test-quick: ## run the tests that take less than about five seconds each
	$(PYTHON) -m pytest tests -m "not slow"

lint: ## the checks of style and types; needs ruff and mypy
	ruff check .
	mypy --python-executable "$$($(PYTHON) -c 'import sys; print(sys.executable)')"

prototxt: ## write the committed nets and solvers again
	$(PYTHON) tools/generate_prototxt.py --size paper --out prototxt
	$(PYTHON) tools/generate_prototxt.py --size photo --out prototxt/photo
	$(PYTHON) tools/generate_prototxt.py --size slim --out prototxt/slim
