"""A training as the command line of tools/train.py describes it."""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

from common.switches import chosen_settings, chosen_size

from models.registry import MODELS, Model
from models.settings import Settings
from models.sizes import Size
from models.solvers import solver_text
from objseg.convnet.reader import ConvnetReader
from objseg.data.dataset import Dataset
from objseg.data.expressions import Vocabulary
from objseg.data.frequent_words import FrequentWords
from objseg.errors import UserError
from objseg.files import REPOSITORY
from objseg.methods.nets import convolutions_of
from objseg.training.fingerprint import fingerprint
from objseg.training.snapshots import Snapshots

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A training as the command line describes it; ``share`` are the settings of each rank.

    ``convnet`` are the maps of the convolutions that training reads, None where it reads pictures.
    """

    options: argparse.Namespace
    size: Size
    model: Model
    dataset: Dataset
    out: Path
    settings: Settings
    share: Settings
    convnet: ConvnetReader | None

    @classmethod
    def chosen(cls, options: argparse.Namespace, ranks: int) -> "Job":
        """Read the data set's index and check the options for a number of ``ranks``.

        Raises UserError.
        """
        size, name = chosen_size(options), options.model
        # Absolute, so that the nets mean the same in every working directory.
        dataset = Dataset((options.data or REPOSITORY / size.data).resolve())
        data, out = dataset.directory, (options.out or REPOSITORY / size.snapshots).resolve()
        settings = chosen_settings(
            options, size, name, data=str(data), prototxt=str(out / "prototxt"),
            snapshots=str(out), start=starting_weights(options, size.recipes[name], out),
            features=str(data / "features" / size.name), proposals=str(data / "proposals"),
            convnet=str(data / "convnet" / size.name),
            mode="CPU" if options.gpu is None else "GPU",
        )
        return cls(
            options, size, MODELS[name], dataset, out, settings, settings.divided(ranks),
            open_convnet(settings, dataset),
        )

    def solver(self) -> str:
        """Return the text of the solver file."""
        return solver_text(self.size, self.settings)

    def fingerprint(self) -> dict:
        """Describe what the weights depend on."""
        net = self.model.train_net(self.size, self.settings)
        return fingerprint(self.dataset, self.size.name, net, self.solver())

    @property
    def vocabulary_file(self) -> Path:
        """The file of the model's words, without which its embedding means nothing."""
        return self.out / f"{self.options.model}_vocabulary.txt"

    def words(self, resumed: bool) -> FrequentWords | Vocabulary:
        """Return the words of the model.

        Raises UserError where the model before, beside the starting weights, or the run that is
        ``resumed``, was trained with another vocabulary.
        """
        dataset, after, start = self.dataset, self.model.start_model, self.settings.start
        if self.options.model == "per-word":
            frequent = FrequentWords.of(dataset, self.size.frequent_words)
            test = [sample.expression for sample in dataset.samples("test")]
            if test:
                logger.info(
                    "%d frequent words; %.2f %% of the test expressions hold none of them (the "
                    "paper's 500 on ReferIt: 2.83 %%)",
                    len(frequent.words), 100 * frequent.share_without(test),
                )
            return frequent
        earlier = [self.vocabulary_file] if resumed else []
        if after and start:
            earlier.append(Path(start).with_name(f"{after}_vocabulary.txt"))
        for trained in filter(Path.is_file, earlier):
            if Vocabulary.load(trained).words != dataset.vocabulary.words:
                raise UserError(
                    f"{trained}: the weights here were trained with another vocabulary than that "
                    f"of {dataset.directory}; train them on this data set, or prepare it with "
                    f"--vocabulary {trained}"
                )
        return dataset.vocabulary


def open_convnet(settings: Settings, dataset: Dataset) -> ConvnetReader | None:
    """Open the maps of the convolutions that training reads; None where it reads pictures.

    Raises UserError where they are missing, or of other convolutions than those whose maps the
    starting weights were trained on.
    """
    if not settings.convnet:
        return None
    reader = ConvnetReader(settings.convnet, dataset)
    found = reader.source["sha256"]
    trained = settings.start and convolutions_of(Path(settings.start))
    if trained and trained[1] != found:
        raise UserError(
            f"{reader.folder}: maps of other convolutions (sha256 {found[:8]}…) than those that "
            f"{settings.start} was trained on ({trained[1][:8]}…); {reader.remedy} --weights "
            f"{trained[0]}"
        )
    return reader


def starting_weights(options, recipe, out: Path) -> str | None:
    """Return the path of the file that the model starts from, or None for a random start."""
    after = MODELS[options.model].start_model
    if options.weights == "none":
        return None
    if options.weights:
        path, make = Path(options.weights), "name another file"
    elif after:
        newest = Snapshots(out, after).newest_weights()
        if not newest:
            raise UserError(
                f"no {after}_iter_*.caffemodel in {out}: train --model {after} first, or name a "
                "file with --weights"
            )
        return str(newest)
    elif recipe.start:
        path, make = REPOSITORY / recipe.start, f"make it with: python {recipe.start_command}"
    else:
        return None
    if not path.is_file():
        raise UserError(
            f"{path}: no such file, but the model {options.model} starts from it; {make}, or train "
            "from a random start with --weights none"
        )
    return str(path.resolve())
