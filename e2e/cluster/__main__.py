"""The command line: `python3 -m e2e.cluster up|down|status|load|kubeconfig|env|kubectl|helm`.

It drives the cluster of the checkout it stands in and needs nothing but a system Python of 3.11 or newer.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from e2e.cluster import lifecycle
from e2e.cluster.layout import Layout, find
from e2e.cluster.steps import StepError

DESCRIPTION = "A one-node Kubernetes for this checkout, for end-to-end tests and the quickstart."
PASSED_ON = ("kubectl", "helm", "ctr")


def _existing() -> Layout:
    layout = find()
    if layout is None or not layout.kubeconfig.exists():
        raise StepError("this checkout has no cluster; start it by: python3 -m e2e.cluster up")
    return layout


def _up(_: argparse.Namespace) -> None:
    layout = lifecycle.up()
    print(f"cluster {layout.name} is up; export KUBECONFIG={layout.kubeconfig}")


def _down(arguments: argparse.Namespace) -> None:
    if arguments.lost:
        print(f"clusters without a checkout removed: {lifecycle.down_lost()}")
        return
    print("cluster removed" if lifecycle.down() else "this checkout has no cluster")


def _status(_: argparse.Namespace) -> None:
    layout = _existing()
    running = lifecycle.is_running(layout)
    print(f"cluster   {layout.name} ({'running' if running else 'not running'})")
    print(f"network   {layout.network}, API https://{layout.node}:6443, DNS {layout.dns}")
    print(f"state     {layout.state}")
    for name, server in lifecycle.servers(layout).items():
        print(f"  {name:<26}{'running' if running and server['running'] else 'down':<10}restarts {server['restarts']}")
    if not running:
        raise SystemExit(1)


def _load(arguments: argparse.Namespace) -> None:
    for imported in lifecycle.import_images(_existing(), arguments.archives):
        print(imported)


def _kubeconfig(_: argparse.Namespace) -> None:
    print(_existing().kubeconfig)


def _env(_: argparse.Namespace) -> None:
    layout = _existing()
    print(f"export KUBECONFIG={layout.kubeconfig}")
    print(f"export PATH={layout.programs}:$PATH")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.cluster", description=DESCRIPTION)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    plain = (
        ("up", _up, "build what is not cached, start the cluster unless it runs, wait until it is ready"),
        ("status", _status, "tell whether the cluster and its servers run"),
        ("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig"),
        ("env", _env, "print shell lines that set KUBECONFIG and PATH: eval $(python3 -m e2e.cluster env)"),
    )
    for name, function, text in plain:
        commands.add_parser(name, help=text, description=text).set_defaults(function=function)
    down = commands.add_parser("down", help="stop the cluster and remove all its state")
    down.add_argument("--lost", action="store_true", help="instead remove the clusters whose checkout is gone")
    down.set_defaults(function=_down)
    load = commands.add_parser("load", help="import image archives (OCI or docker) into the node")
    load.add_argument("archives", metavar="ARCHIVE", nargs="+", type=Path)
    load.set_defaults(function=_load)
    for name in PASSED_ON:
        commands.add_parser(name, help=f"run {name} against the cluster; every argument is passed on", add_help=False)
    return parser


def _pass_on(program: str, arguments: list[str]) -> None:
    layout = _existing()
    environment = os.environ | {"KUBECONFIG": str(layout.kubeconfig), "CONTAINERD_ADDRESS": str(layout.containerd)}
    environment["CONTAINERD_NAMESPACE"] = "k8s.io"
    os.execve(layout.programs / program, [program, *arguments], environment)  # noqa: S606


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        if len(sys.argv) > 1 and sys.argv[1] in PASSED_ON:
            _pass_on(sys.argv[1], sys.argv[2:])
        arguments = _parser().parse_args()
        arguments.function(arguments)
    except StepError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
