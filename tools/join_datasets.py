"""Join prepared data sets into one that every tool reads.

    python tools/join_datasets.py --data data/photos --data data/streets --out data/both

Name two data sets or more, joined ones too. The splits of the new one are theirs, one after the
other; its words are those of all trainval expressions. Pictures and masks are read where they are,
so keep the sources: a picture or mask that has changed since is refused by name. Image ids must
differ between the sources.

Run it again when a source was prepared again.
"""

from common import environment

environment.enter()

from pathlib import Path

from common.arguments import Parser
from common.preparation import add_words, print_counts

from objseg.data.expressions import Vocabulary
from objseg.data.join import join


def main():
    """Parse the command line, join, print the counts."""
    parser = Parser(__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True, metavar="DIR",
                        help="prepared data set")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR",
                        help="joined data set, made or brought up to date")
    add_words(parser)
    parser.add_argument("--overwrite", action="store_true",
                        help="replace a data set of other content in --out")
    options = parser.parse_args()

    vocabulary = Vocabulary.load(options.vocabulary) if options.vocabulary else None
    index = join(options.data, options.out, vocabulary, options.min_count, options.overwrite)
    print_counts(options.out, index)


if __name__ == "__main__":
    environment.run(main)
