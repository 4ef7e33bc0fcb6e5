"""The processes that a run is spread over: started by MindSpore's ``msrun``, one for each device."""

import os

import numpy as np
from mindspore import Tensor, ops
from mindspore.communication import GlobalComm, get_group_size, get_rank, init

from mindscience_diffuser.runs.errors import ConfigError


def launched():
    """Whether ``msrun`` started this process."""
    return "MS_ROLE" in os.environ


def join_ranks():
    """Joins the other processes of the launch; must be called before the first Tensor is made.

    In a process that ``msrun`` did not start there is nothing to join. ``msrun`` starts one process more, the
    scheduler, which serves here until the others are done and then exits.

    Raises:
        ConfigError: If the processes do not find each other before MindSpore's timeout.
    """
    if not launched() or GlobalComm.INITED:
        return
    try:
        init()
    except RuntimeError as error:
        said = f"MindSpore says: {str(error).splitlines()[0]}"
        if os.environ["MS_ROLE"] == "MS_SCHED":
            raise ConfigError(
                f"a worker of this launch ended early or never came: see the workers' logs. {said}"
            ) from None
        known = {name: os.environ.get(f"MS_{name}", "?") for name in ("SCHED_HOST", "SCHED_PORT", "WORKER_NUM")}
        raise ConfigError(
            f"the {known['WORKER_NUM']} processes of this launch did not find each other: check that the scheduler at "
            f"{known['SCHED_HOST']}:{known['SCHED_PORT']} can be reached from here (msrun's --master_addr and "
            f"--master_port, the same on every host), that the port is free, and that every host started its workers. "
            f"{said}"
        ) from None


def rank():
    """Returns the number of this process, from 0; rank 0 is the one that writes."""
    return get_rank() if launched() else 0


def rank_count():
    """Returns how many processes the run is spread over."""
    return get_group_size() if launched() else 1


def gather(array):
    """Returns the arrays of all ranks in their order, a list; every rank must call it with the same shape and dtype.

    Bits are exchanged as they are, so that the result does not depend on what the device can compute with. On CPU
    MindSpore waits 30 seconds for the last rank, so ranks whose work may differ by more must meet before.
    """
    array = np.asarray(array)
    if rank_count() == 1:
        return [array]
    raw = array.tobytes()
    padded = np.frombuffer(raw + bytes(-len(raw) % 4), np.int32)
    everything = ops.AllGather()(Tensor(padded)).asnumpy().reshape(rank_count(), -1)
    return [np.frombuffer(row.tobytes()[: len(raw)], array.dtype).reshape(array.shape) for row in everything]


def wait_for_all():
    """Returns once every rank has called it."""
    gather(np.zeros(1, np.int32))
