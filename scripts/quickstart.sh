#!/usr/bin/env bash
# Samples digits from the weights that come with the package. Extra arguments replace values of the configuration:
#   bash scripts/quickstart.sh seed=7
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_with runs
"$PYTHON" -m mindscience_diffuser sample --config configs/digits_ddim.yaml \
    weights=digits_ddim output=runs_output/quickstart "$@"
echo "The picture (samples by class beside real digits): $PWD/runs_output/quickstart/sample/samples.png"
echo "How close they are to real digits:                 $PWD/runs_output/quickstart/sample/metrics.json"
