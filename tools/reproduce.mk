# The steps from raw data to the report, each with its inputs. tools/reproduce.py runs this file and
# says what the names in capitals are; `make -n` in its place shows what a changed input would redo.
#
#   RAW -> DATA -> proposals -> features -> trained models -> timing.json -> report.html

RESULTS = $(OUT)/report.html
DATASET = $(DATA)/index.json
# the columns of Table 2, and our lowres
TABLE2 = per-word-average scrc-grabcut grounder-grabcut mcg-classification lowres highres
BOXES = $(OUT)/steps/boxes
SEGMENTS = $(OUT)/steps/segments
FEATURES = $(DATA)/features/$(SIZE)/index.json
TRAINED = $(foreach model,$(MODELS),$(WEIGHTS_$(model)))

# Steps that run at the same time share the cores; the timing has the machine for itself. Where a
# tool starts processes with a net each, these have a BLAS thread each.
export OPENBLAS_NUM_THREADS = $(CORES)

.DELETE_ON_ERROR:
# what an interrupted step has begun, it continues
.PRECIOUS: $(RESULTS) $(DATASET) $(FEATURES) $(TRAINED) $(OUT)/timing.json

$(RESULTS): $(TRAINED) $(OUT)/timing.json
	OPENBLAS_NUM_THREADS=1 python tools/eval_referit.py --size $(SIZE) --data $(DATA) \
		--method all $(NAMED) $(DEVICE) --out $(OUT)

$(OUT)/timing.json: $(TRAINED)
	OPENBLAS_NUM_THREADS=$(MACHINE) python tools/time_referit.py --size $(SIZE) --data $(DATA) \
		$(TABLE2:%=--method %) $(NAMED) $(DEVICE) --out $(OUT)

# ---- data ----

$(DRAWN):
	python tools/make_demo_data.py --workers $(CORES)

# Without RAW the data set has been prepared elsewhere.
$(DATASET): $(DRAWN) $(wildcard $(RAW)/*.txt $(RAW)/*.json $(RAW)/split/* $(RAW)/images $(RAW)/mask)
	python tools/prepare_referit.py --raw $(RAW) --out $(DATA) --workers $(CORES)
	@touch $@

# ---- proposals and their features ----

# Where other lists or edges are wanted, those made before may be deleted, if they were begun here.
$(BOXES) $(SEGMENTS): $(DATASET) $(OUT)/steps/published $(wildcard $(PUBLISHED))
	@[ -e $(DATA)/proposals/$(@F) ] || touch $@.begun
	python tools/make_proposals.py --data $(DATA) --kind $(@F) --workers $(CORES) \
		$(PUBLISHED:%=--published %) $(if $(wildcard $@.begun),--overwrite)
	@touch $@
$(BOXES): $(OUT)/steps/forest

$(FEATURES): $(BOXES) $(TRUNK) $(PROTOTXT)/deploy_crops.prototxt
	OPENBLAS_NUM_THREADS=1 python tools/extract_features.py --size $(SIZE) --data $(DATA) \
		$(DEVICE) --workers $(NETS)
	@touch $@

# ---- training ----

# A model has begun when snapshots of other inputs are out of the way; then it can be resumed.
BEGUN = $(MODELS:%=$(OUT)/steps/%)
$(BEGUN): $(OUT)/steps/%: $(DATASET) $(OUT)/steps/switches $(PROTOTXT)/train_%.prototxt \
		$(PROTOTXT)/solver_%.prototxt
	rm -f $(OUT)/weights/$*_iter_*
	@mkdir -p $(@D) && touch $@

$(OUT)/steps/scrc $(OUT)/steps/grounder: $(FEATURES)
$(OUT)/steps/mcg: $(SEGMENTS)
$(OUT)/steps/lowres $(OUT)/steps/mcg: $(TRUNK)
$(OUT)/steps/per-word: $(wildcard $(START_per-word))
$(OUT)/steps/highres: $(WEIGHTS_lowres)

define train
$(WEIGHTS_$(1)): $(OUT)/steps/$(1)
	python tools/train.py --model $(1) --size $(SIZE) --data $(DATA) --out $(OUT)/weights \
		--resume $(DEVICE) $(SWITCHES)
	@touch $$@
endef
$(foreach model,$(MODELS),$(eval $(call train,$(model))))
