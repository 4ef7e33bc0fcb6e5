"""The command line: ``python -m mindscience_diffuser COMMAND --config FILE [key.sub=value ...]``.

``plot`` draws schedules and takes their names in place of a file.
"""

import argparse
import errno
import functools
import sys

from mindscience_diffuser.noise import PRESETS

COMMANDS = {
    "train": "train a model",
    "sample": "draw samples from a trained model",
    "sweep": "draw and measure samples with several numbers of steps",
    "compare": "run several schedulers on one model and write a report",
    "optimize": "fit a scheduler of few steps to a trained model",
    "export": "write the whole trajectory of a trained model as one MINDIR file",
}
SPREAD = ("train", "sample")
PLOT = "draw sigmas, timesteps and log-SNR of schedules in one picture"
EPILOG = "Single values of the file can be replaced, for example: seed=7 sampling.per_class=5"


def main(arguments=None):
    """Runs one command.

    Args:
        arguments (Sequence[str], optional): Command line without the program's name. Default: that of the process.

    Returns:
        int, the exit code: 0 after success, 2 for a mistake in the configuration, 1 when files cannot be
        written or the memory is too small, 3 when a training diverged, 130 when interrupted, 143 when a training was
        stopped by SIGTERM and can go on.
    """
    parser = argparse.ArgumentParser(prog="python -m mindscience_diffuser", epilog=EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, what in COMMANDS.items():
        subparser = commands.add_parser(command, help=what, description=what, epilog=EPILOG)
        subparser.format_help = functools.partial(_help_with_keys, command, subparser.format_help)
        subparser.add_argument("--config", required=True, metavar="FILE", help="YAML file that describes the run")
        subparser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="values that replace the file's")
    _add_plot(commands)
    options = _parsed(parser, arguments)
    try:
        from mindscience_diffuser.runs.errors import ConfigError, DivergedError, StoppedError

        try:
            written = _plot(options) if options.command == "plot" else _run(options)
        except ConfigError as error:
            return _fail(str(error), 2)
        except DivergedError as error:
            return _fail(str(error), 3)
        except StoppedError as stop:
            return _fail(str(stop), 143)
    except ModuleNotFoundError as error:
        return _fail(f"the module '{error.name}' is missing; install what runs need: pip install '.[runs]'", 2)
    except OSError as error:
        advice = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "; what is there is whole: make room and run the same command again"
        return _fail(f"cannot write the results: {error}{advice}", 1)
    except MemoryError:
        return _fail("the memory is too small for this run: make the sizes or numbers in the configuration smaller", 1)
    except KeyboardInterrupt as interruption:
        return _fail(str(interruption) or "interrupted. Each file that is there is whole", 130)
    if written is not None:
        print(f"Written to {written}")
    return 0


def _parsed(parser, arguments):
    """Returns the options of a command line, on which overrides and names of schedules may stand in any place."""
    options, further = parser.parse_known_args(arguments)
    unknown = [word for word in further if word.startswith("-")]
    if unknown:
        parser.error(f"unknown option {', '.join(unknown)}: see --help for those of '{options.command}'")
    # argparse itself takes only the first group of them.
    (options.schedules if options.command == "plot" else options.overrides).extend(further)
    return options


def _run(options):
    """Runs what a configuration file describes; returns the folder of the results in the rank that writes them."""
    from mindscience_diffuser.runs.config.components import check_components
    from mindscience_diffuser.runs.config.load import load_config
    from mindscience_diffuser.runs.config.origins import located
    from mindscience_diffuser.runs.config.registry import REGISTRY, lookup
    from mindscience_diffuser.runs.errors import ConfigError

    config = load_config(options.config, options.overrides)
    if config.run not in REGISTRY[options.command]:
        raise ConfigError(
            f"{config.origins.of('run')}: '{options.command}' is not there for runs of the kind '{config.run}', only "
            "for " + ", ".join(f"'{kind}'" for kind in REGISTRY[options.command])
        )
    from mindscience_diffuser.runs.data.noise_law import noise_law
    from mindscience_diffuser.runs.distributed.ranks import join_ranks, launched, rank

    if launched() and options.command not in SPREAD:
        raise ConfigError(f"'{options.command}' runs in one process: start it without msrun")
    join_ranks()
    with located(config):
        check_components(config)
        with noise_law(getattr(config, "noise", None)):
            directory = lookup(options.command, config.run)(config)
    return directory if rank() == 0 else None


def _add_plot(commands):
    subparser = commands.add_parser("plot", help=PLOT, description=PLOT, epilog=f"Presets: {', '.join(PRESETS)}")
    subparser.add_argument(
        "schedules",
        nargs="+",
        metavar="NAME|key=value",
        help="a preset or a scheduler class; key=value after it changes an argument of that schedule",
    )
    subparser.add_argument("--output", default="schedules.png", metavar="FILE", help="the picture (%(default)s)")
    subparser.add_argument("--steps", type=int, default=20, metavar="N", help="number of steps (%(default)s)")
    subparser.add_argument(
        "--image-seq-len",
        type=int,
        default=4096,
        metavar="N",
        help="number of image tokens, where the schedule depends on the resolution (%(default)s)",
    )


def _plot(options):
    """Draws schedules; returns the picture."""
    from mindscience_diffuser.runs.commands.plot import plot

    return plot(options.schedules, options.output, options.steps, options.image_seq_len)


def _help_with_keys(command, format_help):
    """Returns the help of a command, followed by the keys of its file."""
    try:
        from mindscience_diffuser.runs.config.keys import key_list
    except ModuleNotFoundError as error:
        return (
            f"{format_help()}\nThe keys of FILE are listed where '{error.name}' is installed: pip install '.[runs]'\n"
        )
    return f"{format_help()}\n{key_list(command)}"


def _fail(message, code):
    print(f"mindscience_diffuser: error: {message}", file=sys.stderr)
    return code
