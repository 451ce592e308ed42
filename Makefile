# make demo and make test work on a bare machine: the first use sets up Caffe (tools/caffe-env).
PYTHON = tools/caffe-env python

.PHONY: help demo table1 test lint prototxt

help:
	@sed -n 's/^\([a-z0-9]*\):.*## /make \1: /p' Makefile

demo: ## train both stages on synthetic scenes with Caffe, evaluate, write a report
	$(PYTHON) tools/make_demo_data.py
	$(PYTHON) tools/prepare_referit.py --raw data/raw/demo --out data/demo
	$(PYTHON) tools/train.py --model lowres --size slim --overwrite
	$(PYTHON) tools/train.py --model highres --size slim --overwrite
	$(PYTHON) tools/eval_referit.py --size slim --method whole-image --method lowres --method highres

table1: ## train and evaluate every row of Table 1 on those scenes, time them (Table 2)
	$(PYTHON) tools/reproduce.py --size slim

test: ## run every test
	$(PYTHON) -m pytest tests

lint: ## the style check; needs ruff
	ruff check .

prototxt: ## write the committed nets and solvers again
	$(PYTHON) tools/generate_prototxt.py --size paper --out prototxt
	$(PYTHON) tools/generate_prototxt.py --size slim --out prototxt/slim
