#!/usr/bin/env python3
"""Runs `BINARY validate` over the corpus and compares each verdict with the directory the file lies in.

    compare.py --as consul BINARY       a real Consul 1.8
    compare.py --as meshglass BINARY    this program

valid: both accept. invalid: both refuse. lenient: only meshglass accepts. strict: only meshglass refuses.
Ends with `N of M agree` and exit code 0 when all do.
"""
import argparse
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ACCEPTS = {"consul": ("valid", "strict"), "meshglass": ("valid", "lenient")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as", dest="subject", choices=sorted(ACCEPTS), required=True)
    parser.add_argument("binary")
    parser.add_argument("--show", action="store_true", help="print what was said about each file")
    options = parser.parse_args()
    files = sorted(path for name in ("valid", "invalid", "lenient", "strict") for path in (HERE / name).iterdir())
    agree = 0
    for path in files:
        command = [options.binary, "validate", str(HERE / "base.hcl"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)
        name = path.relative_to(HERE)
        wanted = path.parent.name in ACCEPTS[options.subject]
        accepted = done.returncode == 0
        agree += accepted == wanted
        if accepted != wanted or options.show:
            verdict = "accepted" if accepted else "refused"
            print(f"{name}: {verdict}\n    {done.stderr.strip()}", file=sys.stderr)
    print(f"{agree} of {len(files)} agree")
    return 0 if files and agree == len(files) else 1


sys.exit(main())
