# make run   install what is needed into .venv, classify the MR samples and segment the kidney in the ultrasound samples
# make test  the same with the test tools, then all tests
# make lint  style checks
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
MR ?= Resources/SampleData/mr
KIDNEY ?= Resources/SampleData/kidney
OUT ?= out

.PHONY: run test lint clean
.DELETE_ON_ERROR:

run: $(VENV)/.ready
	@mkdir -p $(OUT)/mr $(OUT)/kidney
	@echo "Classifying the field of view of the volumes in $(MR); table, details and figures go to $(OUT)/mr"
	@$(BIN)/slicerhpo classify $(MR) --csv $(OUT)/mr/regions.csv --json $(OUT)/mr/regions.json --figure $(OUT)/mr/figures
	@echo "Segmenting the kidney in the volumes in $(KIDNEY); segmentations, report and figures go to $(OUT)/kidney"
	@$(BIN)/slicerhpo segment $(KIDNEY) --out $(OUT)/kidney --report $(OUT)/kidney/report.csv --figure $(OUT)/kidney/figures

test: $(VENV)/.ready-test
	@echo "Running all tests"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(TESTS)

lint: $(VENV)/.ready-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "Installing SlicerHPO into $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) "$$(grep '^torch==' constraints.txt)"
	@$(PIP) --editable ".[training]" --constraint constraints.txt
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	@echo "Installing the test tools"
	@$(PIP) --editable ".[test,slicer]" --constraint constraints.txt
	@touch $@

clean:
	rm -rf $(VENV) $(OUT)
