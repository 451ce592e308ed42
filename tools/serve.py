"""Show a page where one types a phrase and sees what it names in a picture.

    python tools/serve.py
    python tools/serve.py --port 8080 --size slim --weights out/demo

Prints the address of the page, which only this machine can open unless --host says otherwise.
Ctrl-C ends it. Pictures are chosen, dropped or pasted on the page. The server keeps none: it keeps
in memory what the net computes of each, until others take its place.
"""

from common import environment

environment.enter()

from common.arguments import Parser, not_negative, positive
from common.model_choice import add_model_choice, chosen_model, warn

from objseg.data.examples import example_pictures
from objseg.page.app import create_app
from objseg.page.pictures import Pictures
from objseg.page.server import LOOPBACK, is_loopback, open_server


def main():
    """Parse the command line and serve until somebody stops it."""
    parser = Parser(__doc__)
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                        help="where to listen; another than a loopback address lets others in the "
                        "network use the page")
    parser.add_argument("--port", type=not_negative, default=8000, metavar="N",
                        help="0 takes a free one")
    parser.add_argument("--pictures", type=positive, default=50, metavar="N",
                        help="pictures whose features are kept, 0.6 MB each at size photo")
    add_model_choice(parser)
    options = parser.parse_args()

    _, open_segmenter = chosen_model(options)
    pictures = Pictures(open_segmenter, options.pictures)
    here = is_loopback(options.host)
    app = create_app(pictures, example_pictures(), (*LOOPBACK, options.host) if here else None)
    server = open_server(app, options.host, options.port)
    if not here:
        warn(f"everybody who reaches {options.host} can use this page; nothing asks who they are, "
             "and nothing is encrypted")
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"Open http://{host}:{server.effective_port} in a browser. Ctrl-C ends the page.",
          flush=True)
    try:
        server.run()
    finally:
        pictures.close()


if __name__ == "__main__":
    environment.run(main)
