#!/usr/bin/env bash
# Starts train or sample on several devices with MindSpore's msrun. Arguments are those of python -m mindscience_diffuser.
#   One host with 8 devices:
#     DEVICES=8 bash scripts/launch.sh train --config configs/digits_ddim.yaml
#   Four hosts with 8 devices each, the folder of the results shared by all; on host i of 0, 1, 2, 3:
#     DEVICES=8 HOSTS=4 HOST=i MASTER=name-or-address-of-host-0 bash scripts/launch.sh train --config ...
# PORT (8118) is where the processes meet, on host 0; TIMEOUT (120) the seconds to wait there for all of them; LOGS
# (runs_output/launch) the folder of their logs. SIGTERM is passed on: a training then leaves a checkpoint and ends.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
if [ $# -eq 0 ]; then
    echo "Say what to run, for example: bash scripts/launch.sh train --config configs/digits_ddim.yaml" >&2
    exit 2
fi
install_with runs
devices=${DEVICES:-2} hosts=${HOSTS:-1} host=${HOST:-0}
# msrun starts "python" from the search path.
PATH="$(dirname "$PYTHON"):$PATH"
msrun --worker_num $((devices * hosts)) --local_worker_num "$devices" --node_rank "$host" \
    --master_addr "${MASTER:-127.0.0.1}" --master_port "${PORT:-8118}" --cluster_time_out "${TIMEOUT:-120}" \
    --log_dir "${LOGS:-runs_output/launch}" --join True python -m mindscience_diffuser "$@" &
launcher=$!

# msrun would end at once and leave its workers, which do not belong to this process group.
pass_on() {
    local worker
    for worker in $(pgrep -P "$launcher"); do
        if tr '\0' '\n' <"/proc/$worker/environ" | grep -qx MS_ROLE=MS_WORKER; then
            kill -TERM "$worker"
        fi
    done
}
trap pass_on TERM
# A trapped signal ends the first wait early.
wait "$launcher" || status=$?
while kill -0 "$launcher" 2>/dev/null; do wait "$launcher" || status=$?; done
exit "${status:-0}"
