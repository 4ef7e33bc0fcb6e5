"""The command line: ``python -m mindscience_diffuser train|sample|export --config FILE [key.sub=value ...]``."""

import argparse
import sys

COMMANDS = {
    "train": "train a model",
    "sample": "draw samples from a trained model",
    "export": "write the whole trajectory of a trained model as one MINDIR file",
}
EPILOG = "Single values of the file can be replaced, for example: seed=7 sampling.per_class=5"


def main(arguments=None):
    """Runs one command.

    Args:
        arguments (Sequence[str], optional): Command line without the program's name. Default: that of the process.

    Returns:
        int, the exit code: 0 after success, 2 for a mistake in the configuration, 1 when files cannot be
        written, 130 when interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m mindscience_diffuser", epilog=EPILOG)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, what in COMMANDS.items():
        subparser = commands.add_parser(command, help=what, description=what, epilog=EPILOG)
        subparser.add_argument("--config", required=True, metavar="FILE", help="YAML file that describes the run")
        subparser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="values that replace the file's")
    options = parser.parse_args(arguments)
    try:
        from mindscience_diffuser.runs.errors import ConfigError
        from mindscience_diffuser.runs.registry import lookup

        try:
            from mindscience_diffuser.runs.config import load_config

            config = load_config(options.config, options.overrides)
            directory = lookup(options.command, config.run)(config)
        except ConfigError as error:
            return _fail(str(error), 2)
    except ModuleNotFoundError as error:
        return _fail(f"the module '{error.name}' is missing; install what runs need: pip install '.[runs]'", 2)
    except OSError as error:
        return _fail(f"cannot write the results: {error}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    print(f"Written to {directory}")
    return 0


def _fail(message, code):
    print(f"mindscience_diffuser: error: {message}", file=sys.stderr)
    return code
