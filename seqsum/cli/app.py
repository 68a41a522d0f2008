"""Lightning's command line, adapted to `SequenceModule` and any DataModule."""

from __future__ import annotations

from typing import Any, cast

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seqsum.callbacks import Pictures, ProgressBar
from seqsum.checkpoint_file import NotFiniteWeightsError
from seqsum.cli.added_callbacks import check_finders, check_monitors, without_finders
from seqsum.cli.callbacks import of_every_run
from seqsum.cli.messages import without_types_tried
from seqsum.cli.parser import Parser
from seqsum.cli.run import check_seed, make_loggers, run_name, seed_of
from seqsum.cli.settings import Settings
from seqsum.cli.trainer import (
    Wanted,
    arguments_of,
    check_backends,
    check_folder,
    check_numbers,
    read_wanted,
    use_no_profiler,
)
from seqsum.console import print_line, quote
from seqsum.data import SequenceData
from seqsum.defaults import drop_default_encoder
from seqsum.diagnosis import Diagnosis
from seqsum.distributed import check_processes, is_first_process
from seqsum.errors import InputError
from seqsum.module import OBJECTS, SequenceModule
from seqsum.paths import expand_home
from seqsum.resume.best import BestCheckpoint
from seqsum.resume.checkpoints import check_architecture, other_data
from seqsum.resume.last import LastCheckpoint
from seqsum.run import drop_if_empty, print_left_out, run_folder, tensorboard_writers

TRAINER_DEFAULTS = {
    "max_epochs": 20,
    "gradient_clip_val": 1.0,
    "default_root_dir": "logs",
    "enable_model_summary": False,  # `RunLines` prints a one-line summary
}


NO_GPU = "`--trainer.accelerator` (=gpu): torch finds no GPU that it can use; `auto`, the default, takes one if it can"


class SeqsumCLI(LightningCLI):
    """Run a subcommand with settings from flags, files and checkpoint, in a new folder.

    Args:
        subcommand: `fit`, `validate`, `test` or `predict`.
        given: Options, files and checkpoint of the command line.
        program: What errors and help call the program; None for the script that runs.
    """

    subcommand: str
    datamodule: SequenceData
    model: SequenceModule
    makes_folder = False  # whether the program, not a logger of the user, makes the run's folder, and may drop it

    def __init__(self, subcommand: str, given: Settings, program: str | None = None) -> None:
        self.given = given
        self.program = program
        self.only = subcommand
        super().__init__(
            SequenceModule,
            SequenceData,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_class=Parser,
            trainer_defaults=TRAINER_DEFAULTS,
            args=[subcommand, *given.options],
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # Lightning's is static
        """Return the one subcommand that is run: each parser takes a tenth of a second to build."""
        return {self.only: LightningCLI.subcommands()[self.only]}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        return super().init_parser(files=self.given.files, program=self.program, **kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse `args`; unlike Lightning, don't warn if the program itself was started with arguments."""
        self.config = expand_home(parser.parse_args(cast("list[str]", args)))
        check_seed(self.config[self.config.subcommand].seed_everything)
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
        """Do nothing: Lightning would override the user's flags by the checkpoint; see `settings.with_checkpoint`."""

    def instantiate_classes(self) -> None:
        """Make module, data and trainer, and report their errors before any folder is made."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, MisconfigurationException) as error:  # some flags raise a TypeError
            if "No supported gpu backend found" in str(error):
                raise InputError(NO_GPU) from error
            said = without_types_tried(str(error))
            raise InputError(f"{self._trained_on_others(said)}{said}") from error

    def _trained_on_others(self, said: str) -> str:
        """Say that the checkpoint's settings are for other data than those asked for, if so, before what else is said.

        Empty if that says so itself.
        """
        settings = self.config[self.subcommand]
        if (path := settings.get("ckpt_path")) is None:
            return ""
        clause = other_data(self.given.checkpoints.read_ahead(str(path)), settings.data.get("class_path"))
        return f"`--ckpt_path` (={path}): {clause}" if clause and clause not in said else ""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings, made = self.config[self.subcommand], self.config_init[self.subcommand]
        _check_names(self.datamodule)
        self._check_checkpoint(settings)
        if self.subcommand == "fit":
            check_numbers(made.trainer)
        self._prepare_data(settings)
        self._note_settings(settings)
        name = run_name(settings, self.subcommand, self.datamodule)
        wanted = read_wanted(made.trainer)
        if not wanted.has_folder:
            self.save_config_callback = None
        changed = arguments_of(made.trainer, wanted, self.subcommand, self.given.checkpoints)
        if settings.get("ckpt_path") is not None:
            changed["callbacks"] = without_finders(wanted.added)
        trainer = self._instantiate_trainer({**made.trainer, **kwargs, **changed}, self._callbacks(name, wanted))
        check_processes(trainer)
        check_backends(trainer, self.model)
        check_folder(trainer)
        use_no_profiler(trainer)
        self.makes_folder = wanted.our_loggers
        if wanted.our_loggers:  # last, after all checks, since they make the run's folder
            trainer.loggers = make_loggers(made.trainer.default_root_dir, name)
        return trainer

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; what is refused after the run's folder was made, and before anything was computed, leaves none."""
        try:
            super()._run_subcommand(subcommand)
        except (InputError, MisconfigurationException, ValueError):
            if self.makes_folder and self.trainer.global_step == 0:
                drop_if_empty(self.trainer)
            raise

    def _callbacks(self, name: str, wanted: Wanted) -> list[Callback]:
        """The program's own callbacks."""
        settings, made = self.config[self.subcommand], self.config_init[self.subcommand]
        configuration = self._parser(self.subcommand).dump(settings, skip_none=False)
        found = [*of_every_run(name, settings, configuration), made.tensorboard, made.diagnosis]
        if wanted.progress_bar:
            found.append(ProgressBar())
        if self.subcommand == "fit":
            check_finders(wanted.added, self.model)
            check_monitors(wanted.added, self.model, wanted.our_checkpoints)
            if wanted.our_checkpoints:
                found += [BestCheckpoint(self.model.objective), LastCheckpoint()]
        return found

    def _check_checkpoint(self, settings: Namespace) -> None:
        path = settings.get("ckpt_path")
        if path is None and self.subcommand != "fit":
            raise InputError(f"`--ckpt_path` must name the checkpoint to {self.subcommand}")
        if path is None:
            self.model.check_starts()  # as the training will, but before data are downloaded
        else:
            checkpoint = self.given.checkpoints.read_ahead(str(path))
            going_on, kind = self.subcommand == "fit", settings.data.class_path
            check_architecture(path, checkpoint, self.model, going_on=going_on, class_path=kind)
        if settings.get("weights_only") is False:
            raise InputError(
                "`--weights_only` (=false) must be true: a checkpoint is read as data, no code in it is run"
            )

    def _prepare_data(self, settings: Namespace) -> None:
        """Read or download the data on the first process, and record which dataset `auto` stands for."""
        if not is_first_process():
            return  # receives the data from the first process, see `SequenceData.read_once`
        if self.subcommand != "predict":
            self.datamodule.prepare_data()
        self.datamodule.setup(self.subcommand)
        if "dataset" in (settings.data.get("init_args") or ()):  # a class without arguments has none
            settings.data.init_args.dataset = self.datamodule.dataset
            self.datamodule.hparams["dataset"] = self.datamodule.dataset

    def _note_settings(self, settings: Namespace) -> None:
        """Record settings in `hparams`, which go into checkpoints.

        Those are the settings of the module's parts, since checkpoints contain no objects, and those of data whose
        class does not call `save_hyperparameters`.
        """
        if "_class_path" not in self.datamodule.hparams:
            given = settings.data.get("init_args") or Namespace()
            self.datamodule.hparams.update({**given.as_dict(), "_class_path": settings.data.class_path})
        for name in (*OBJECTS, "schedule"):
            value = settings.model.get(name)
            self.model.hparams[name] = value.as_dict() if isinstance(value, Namespace) else value

    def test(self, **kwargs: Any) -> None:
        """Run the subcommand `test` without Lightning's table, since `TestReport` prints one."""
        self.datamodule.require_test_split()
        self.trainer.test(**{**kwargs, "verbose": False})

    def after_predict(self) -> None:
        """Print which of the user's inputs were skipped (called by Lightning)."""
        if self.trainer.is_global_zero:
            print_left_out(self.datamodule.own)

    def test_best(self) -> None:
        """Test the best checkpoint of the finished training, or the last weights if there is none.

        Data of the user's own need not have a test split.
        """
        if not self.datamodule.has_test_split:
            if self.trainer.is_global_zero:
                print_line(f"No test: {type(self.datamodule).__name__} has no `test_dataloader`")
            return
        if self.trainer.limit_test_batches == 0:
            if self.trainer.is_global_zero:
                print_line("No test: `--trainer.limit_test_batches` is 0")
            return
        best = self._best_checkpoint() or None
        try:
            if best is not None:
                self.given.checkpoints.read_ahead(best)
        except NotFiniteWeightsError as error:
            raise InputError(f"the training diverged, and its best checkpoint can't be tested: {error}") from error
        self.test(model=self.model, datamodule=self.datamodule, ckpt_path=best)

    def say_where_everything_is(self) -> None:
        """Print why a training stopped early, the path of the best checkpoint and the TensorBoard command."""
        for callback in self.trainer.early_stopping_callbacks:
            if callback.stopping_reason_message and self.trainer.is_global_zero:
                print_line(f"Stopped by {type(callback).__name__}: {callback.stopping_reason_message}")
        folder = run_folder(self.trainer)
        if folder and self.trainer.is_global_zero:
            none = "none, since no validation was completed" if self._keeps_best() else "none"
            print_line(f"Best checkpoint: {self._best_checkpoint() or none}")
            for writer in tensorboard_writers(self.trainer):
                print_line(f"Curves: tensorboard --logdir {quote(str(writer.log_dir))}")

    def _keeps_best(self) -> bool:
        return any(isinstance(callback, BestCheckpoint) for callback in self.trainer.checkpoint_callbacks)

    def _best_checkpoint(self) -> str:
        found = self.trainer.checkpoint_callbacks
        return next((callback.best_model_path for callback in found if isinstance(callback, BestCheckpoint)), "")


def _check_names(data: SequenceData) -> None:
    """Check that a class of the user's own leaves the attributes of its base as these are meant.

    Raises:
        InputError: They are missing, or something else has the name of one.
    """
    name = type(data).__name__
    if "trainer" not in vars(data):  # Lightning's constructor sets it
        raise InputError(f"`__init__` of {name} must first call `super().__init__()`")
    if not isinstance(data.dataset, str):
        raise InputError(f"`dataset` of {name} (={type(data.dataset).__name__}) must be the name of its data, a text")
    if not (hasattr(data.own, "skipped") and hasattr(data.own, "left_out")):
        raise InputError(
            f"`own` of {name} (={type(data.own).__name__}) must be a `seqsum.data.own.OwnInput`, which says what of a "
            "user's input could not be read: something else needs another name"
        )
