"""The command `postboat`: run the operator, render offline, write the CRDs, release Mailboxes, print the version.

Each verb imports only what it needs, so that rendering does not load a running operator.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from postboat.settings import from_environment


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return the exit status.

    Args:
        arguments: The command line without the program; None for that of the process.
    """
    options = parser().parse_args(arguments)
    status: int = options.verb(options)
    return status


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="postboat", description="Run a mail platform from Kubernetes resources.", allow_abbrev=False
    )
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    run = verbs.add_parser(
        "run",
        help="run the operator",
        description="Run the operator. Its settings come from the environment: POSTBOAT_NAMESPACES (comma separated, "
        "empty means all), POSTBOAT_IMAGE_POSTFIX and its like, POSTBOAT_CLUSTER_DOMAIN, POSTBOAT_LOG_LEVEL, "
        "POSTBOAT_LOG_FORMAT (json or text), KUBECONFIG (empty means the pod's own account).",
    )
    run.set_defaults(verb=_run)
    render = verbs.add_parser(
        "render",
        help="render a folder of YAML without a cluster",
        description="Read every .yaml, .yml and .json file of a folder and write the objects and files that the "
        "operator would make of them, byte for byte. A MailServer whose keys are not among the Secrets of the folder "
        "gets placeholder keys.",
    )
    render.add_argument("folder", metavar="DIR", type=Path, help="folder with resources and the Secrets they name")
    render.add_argument("--output", metavar="DIR", type=Path, help="folder to write to (default: objects to stdout)")
    render.set_defaults(verb=_render)
    crds = verbs.add_parser("crds", help="write the CustomResourceDefinitions", description="Write one file a kind.")
    crds.add_argument("folder", metavar="DIR", type=Path, help="folder to write to")
    crds.set_defaults(verb=_crds)
    release = verbs.add_parser(
        "release",
        help="let go of all Mailboxes before the operator is uninstalled",
        description="Stop the running operator for half a minute and take the finalizer from all Mailboxes, so that "
        "nothing holds them when there is no operator any more. Their mail is kept.",
    )
    release.set_defaults(verb=_release)
    tell = verbs.add_parser("version", help="tell the version", description="Tell the version of postboat.")
    tell.set_defaults(verb=_version)
    return top


def _run(_: argparse.Namespace) -> int:
    settings = from_environment()
    if not settings.kubeconfig:
        hide_client_library()
    from postboat.controller.process.startup import run  # noqa: PLC0415 - loads kopf

    run(settings)
    return 0


def hide_client_library() -> None:
    """Keep kopf from importing the client library: it would load all of it, 60 MiB, for two names that are not used."""
    sys.modules["kubernetes"] = None  # type: ignore[assignment]  # no import gets past it


def _render(options: argparse.Namespace) -> int:
    from postboat.controller.reconcile.offline import render_folder  # noqa: PLC0415 - not needed by the other verbs

    status: int = render_folder(options.folder, options.output, from_environment())
    return status


def _crds(options: argparse.Namespace) -> int:
    from postboat.api.schema import crds  # noqa: PLC0415 - not needed by the other verbs

    options.folder.mkdir(parents=True, exist_ok=True)
    for name, content in crds().items():
        (options.folder / name).write_text(content)
    return 0


def _release(_: argparse.Namespace) -> int:
    from postboat.controller.process.uninstall import run  # noqa: PLC0415 - loads kubernetes

    status: int = run(from_environment())
    return status


def _version(_: argparse.Namespace) -> int:
    try:
        known = version("postboat")
    except PackageNotFoundError:
        known = "unreleased"
    sys.stdout.write(f"postboat {known}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
