"""The command line: `python train.py [fit|validate|test|predict] [-c FILE] [--model.… --data.… --trainer.…]`.

Lightning's own CLI, with settings read back from checkpoints, folders that are never overwritten, and one
clear line for a user's mistake. Without a subcommand: fit, then test the best checkpoint.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import pydoc
import sys
import warnings
from pathlib import Path
from typing import Any, ClassVar, NoReturn, cast

import jsonargparse
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seqsum.arguments import join_values
from seqsum.callbacks import (
    BestCheckpoint,
    Diagnosis,
    ExactResume,
    FiniteLoss,
    LastCheckpoint,
    Pictures,
    ProgressBar,
    RunLines,
    RunRecord,
    Scalars,
    Seeds,
    SharedCores,
    TestReport,
    print_left_out,
    print_line,
    run_folder,
)
from seqsum.checkpoints import CheckpointFiles, check_architecture
from seqsum.configurations import check_configurations, dump_settings
from seqsum.data import SequenceData
from seqsum.defaults import DEFAULT_CLASSES, OwnDefaultsParser, drop_default_encoder
from seqsum.distributed import check_processes, first_device, is_first_process
from seqsum.errors import InputError, NotFiniteError
from seqsum.flags import explain
from seqsum.latest import with_checkpoint
from seqsum.lightning_callbacks import check_finders, check_monitors, has_checkpoint, has_progress_bar
from seqsum.memory import keep_memory
from seqsum.module import OBJECTS, SequenceModule
from seqsum.paths import expand_home, expand_options
from seqsum.profiler import NoProfiler

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, no larger file
SUBCOMMANDS = ("fit", "validate", "test", "predict")


def main(args: list[str] | None = None) -> None:
    """Run the command line; `args` are those of the process by default."""
    args = sys.argv[1:] if args is None else args
    _quieten()
    jsonargparse.set_dumper("yaml", dump_settings)
    keep_memory()
    has_subcommand = bool(args) and args[0] in SUBCOMMANDS
    subcommand, options = (args[0], args[1:]) if has_subcommand else ("fit", args)
    options = join_values(expand_options(options), "--data.images")
    try:
        Parser.configurations = check_configurations(options)
        cli = SeqsumCLI([subcommand, *with_checkpoint(subcommand, options)])
        if not has_subcommand:
            cli.test_best()
        if subcommand == "fit":
            cli.say_where_everything_is()
        if subcommand == "predict" and cli.datamodule.own.skipped:
            sys.exit(1)
    except InputError as error:
        fail(str(error))
    except NotFiniteError as error:  # in all processes alike, of which one says it
        fail(str(error) if is_first_process() else None)
    except MisconfigurationException as error:  # of Lightning, which some flags only reach in the training
        fail(str(error))
    except OSError as error:  # of a logger, which may hide that of the checkpoint before it
        if error.errno not in FULL_DISK:
            raise
        first = error.__context__ if isinstance(error.__context__, InputError) else error
        fail(f"{first} (the disk is full: `--trainer.default_root_dir` may name another one)")
    except KeyboardInterrupt:  # before or after the training, which handles its own
        sys.exit(1)


def _quieten() -> None:
    """Leave out what Lightning says on the way that is of no use to a user of this program."""
    # index tables are made in microseconds: workers would only slow the loading down
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # a file's name in another script is boxes in a picture, and whole in the table and on the page
    warnings.filterwarnings("ignore", r"Glyph .* missing from (current )?font")
    # the checkpoint callbacks of the training have nothing to do in a test
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
    # a training that goes on has a folder of its own, and so its own best checkpoint
    warnings.filterwarnings("ignore", "The dirpath has changed from .*")
    # said by lightning 2.6 of its own code under torch 2.11 and later
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage()


def fail(message: str | None) -> NoReturn:
    """Say what is wrong, without a traceback, and exit."""
    if message:
        sys.stderr.write(f"error: {message}\n")
    sys.exit(2)


class Parser(OwnDefaultsParser):
    """Lightning's parser with short errors, without guessing at shortened flags, and with all the help.

    Attributes:
        configurations: The files that settings come from, which jsonargparse does not name in its errors.
    """

    configurations: ClassVar[list[str]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, allow_abbrev=False)

    def format_help(self) -> str:
        """Every option as it works here, and those of the default data, encoder and objective."""
        if "--experiment" not in self._option_string_actions:  # not the parser of a subcommand
            return super().format_help()
        explain(self._option_string_actions)
        defaults = jsonargparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
        for group, default in DEFAULT_CLASSES.items():
            shown = cast("type", pydoc.locate(default))
            defaults.add_class_arguments(shown, group, skip={"seed"})  # follows --seed_everything
        return f"{super().format_help()}\nWith the classes that are used by default:\n\n{defaults.format_help()}"

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        if self.configurations:
            message += f"\nSettings come from the command line and from {', '.join(self.configurations)}."
        fail(f"{message}\nEvery option is explained by `{parser.prog.replace(' [options]', '')} --help`.")


class SeqsumCLI(LightningCLI):
    """`SequenceModule` with any DataModule, `DigitSums` unless the configuration names another."""

    subcommand: str
    datamodule: SequenceData
    model: SequenceModule

    def __init__(self, args: list[str]) -> None:
        super().__init__(
            SequenceModule,
            SequenceData,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_class=Parser,
            trainer_defaults={
                "max_epochs": 20,
                "gradient_clip_val": 1.0,
                "default_root_dir": "logs",
                "enable_model_summary": False,  # `RunLines` says what matters in one line
            },
            args=args,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Lightning's own warns when a program with arguments passes `args`, as `main` always does."""
        self.config = expand_home(parser.parse_args(cast("list[str]", args)))
        drop_default_encoder(self.config[self.config.subcommand].model)

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--experiment", type=str, default="sum", help="Name of the run's folder below the logs.")
        super().add_core_arguments_to_parser(parser)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        cast("Parser", parser).set_default_classes()
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=seed_of)
        parser.add_lightning_class_args(Pictures, "tensorboard")
        parser.add_lightning_class_args(Diagnosis, "diagnosis")

    def _parse_ckpt_path(self) -> None:
        """Lightning would let a checkpoint's settings override the user's flags: see `with_checkpoint`."""

    def instantiate_classes(self) -> None:
        """Make module, data and trainer; find out what is wrong with them before any folder is made."""
        try:
            super().instantiate_classes()
        except (
            ValueError,
            TypeError,
            MisconfigurationException,
        ) as error:  # TypeError: for some flags
            raise InputError(str(error)) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self.config[self.subcommand]
        self._check_checkpoint(settings.get("ckpt_path"))
        if settings.get("weights_only") is False:
            raise InputError(
                "`--weights_only` (=false) must be true: a checkpoint is read as data, nothing in it is run"
            )
        self._prepare_data(settings)
        for name in (*OBJECTS, "schedule"):  # as settings, since checkpoints hold data and no objects
            value = settings.model.get(name)
            self.model.hparams[name] = value.as_dict() if isinstance(value, Namespace) else value
        self.model.hparams["_experiment"] = settings.experiment
        name = self._run_name(settings)
        trainer_settings = self.config_init[self.subcommand].trainer
        callbacks = [
            Seeds(seed_of(settings.seed_everything)),
            ExactResume(),
            RunLines(),
            SharedCores(),
            TestReport(name, seed_of(settings.seed_everything), settings.get("verbose", True)),
            FiniteLoss(),
            Scalars(),
            RunRecord(self._parser(self.subcommand).dump(settings, skip_none=False), flat(settings)),
            self.config_init[self.subcommand].tensorboard,
            self.config_init[self.subcommand].diagnosis,
        ]
        own = as_list(trainer_settings.callbacks)
        barebones = trainer_settings.barebones
        has_folder = trainer_settings.logger is not False and not barebones
        own_checkpoint = has_checkpoint(own, has_folder)
        if not (trainer_settings.enable_progress_bar is False or barebones or has_progress_bar(own)):
            callbacks.append(ProgressBar())
        if self.subcommand == "predict":  # a handful of images, which several devices would only tear apart
            kwargs |= {"devices": first_device(trainer_settings.devices), "num_nodes": 1}
        if self.subcommand != "fit":
            kwargs["enable_checkpointing"] = own_checkpoint
        else:
            check_finders(own, self.model)
            check_monitors(own, self.model)
            if trainer_settings.enable_checkpointing is not False and has_folder:
                callbacks += [BestCheckpoint(self.model.objective), LastCheckpoint()]
        if not has_folder:  # a run must not write into another's
            if not own_checkpoint:
                kwargs["enable_checkpointing"] = False
            self.save_config_callback = None
        plugins = as_list(trainer_settings.plugins)
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, CheckpointFiles()]
        our_loggers = trainer_settings.logger in (None, True) and has_folder and not trainer_settings.fast_dev_run
        if our_loggers:
            kwargs["logger"] = False
        trainer = self._instantiate_trainer({**trainer_settings, **kwargs}, callbacks)
        check_processes(trainer)
        if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]  # set from outside too
            trainer.profiler = NoProfiler()  # type: ignore[attr-defined]
        if our_loggers:  # they make the run's folder, now that nothing can go wrong any more
            trainer.loggers = make_loggers(trainer_settings.default_root_dir, name)
        return trainer

    def _check_checkpoint(self, path: str | None) -> None:
        if path is None and self.subcommand != "fit":
            raise InputError(f"`--ckpt_path` must name the checkpoint to {self.subcommand}")
        if path is not None:
            check_architecture(path, self.model, going_on=self.subcommand == "fit")

    def _prepare_data(self, settings: Namespace) -> None:
        """Read or download the data, on the first process; note which dataset `auto` turned out to be."""
        if not is_first_process():
            return  # it gets the data from the first one, see `SequenceData.made_once`
        if self.subcommand != "predict":
            self.datamodule.prepare_data()
        self.datamodule.setup(self.subcommand)
        if "dataset" in settings.data.init_args:
            settings.data.init_args.dataset = self.datamodule.dataset
            self.datamodule.hparams["dataset"] = self.datamodule.dataset

    def _run_name(self, settings: Namespace) -> str:
        """Folder of the run below the logs: experiment, what is done to it, and whether on stand-in data."""
        parts = [settings.experiment]
        if self.subcommand != "fit":
            parts.append(self.subcommand)
        if self.datamodule.dataset == "rendered" and self.subcommand != "predict":
            parts.append("rendered")
        return "-".join(parts)

    def test(self, **kwargs: Any) -> None:
        """The subcommand: `TestReport` prints what Lightning's own table would repeat."""
        self.trainer.test(**{**kwargs, "verbose": False})

    def after_predict(self) -> None:
        """Lightning calls it: say what of the user's input was left out."""
        if self.trainer.is_global_zero:
            print_left_out(self.datamodule.own)

    def test_best(self) -> None:
        """Test the best checkpoint of the training just finished; the last weights where there is none."""
        self.test(model=self.model, datamodule=self.datamodule, ckpt_path=self._best_checkpoint() or None)

    def say_where_everything_is(self) -> None:
        """The last lines of a training."""
        folder = run_folder(self.trainer)
        if folder and self.trainer.is_global_zero:
            none = "none, for the training never came to the end of a validation" if self._keeps_best() else "none"
            print_line(f"Best checkpoint: {self._best_checkpoint() or none}")
            print_line(f"Curves: tensorboard --logdir {folder}")

    def _keeps_best(self) -> bool:
        return any(isinstance(callback, BestCheckpoint) for callback in self.trainer.checkpoint_callbacks)

    def _best_checkpoint(self) -> str:
        callbacks = self.trainer.checkpoint_callbacks
        return next((callback.best_model_path for callback in callbacks if isinstance(callback, BestCheckpoint)), "")


def seed_of(given: bool | int | None) -> int:
    """The seed that `--seed_everything` means: Lightning's default where it is but true, 0 for what it leaves out."""
    if given is True:
        return int(os.environ.get("PL_GLOBAL_SEED", "0"))
    return given or 0


def as_list(given: Any) -> list[Any]:
    """What may be given as one, several or none, as a list."""
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]


def flat(settings: Namespace) -> dict[str, Any]:
    """Settings under the names of their flags, such as `data.batch_size`; those from files as the others."""
    values = vars(settings.as_flat())
    values.pop("config", None)
    return {name.replace(".init_args", "").removesuffix(".class_path"): value for name, value in values.items()}


def make_loggers(root: str, name: str) -> list[Logger]:
    """TensorBoard and CSV, both in a new folder `root/name/version_N`."""
    version = claim_version(Path(root) / name)
    return [
        # CSV first: it complains of a folder that is not empty
        CSVLogger(root, name, version),
        TensorBoardLogger(root, name, version, default_hp_metric=False),
    ]


@rank_zero_only
def claim_version(folder: Path) -> int:
    """Make the first `version_N` that is not there; two runs started at once get one each."""
    version = 0
    while True:
        try:
            (folder / f"version_{version}").mkdir(parents=True)
            return version
        except FileExistsError:
            version += 1
