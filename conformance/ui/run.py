"""The page over the demo, in a real Chromium: see page_test.py."""

import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]
import page_test
from rig import Rig
from webdriver import Browser

if __name__ == "__main__":
    with Rig() as rig:
        demo = rig.demo()
        with Browser() as browser:
            rig.passed, rig.failed = page_test.run(browser, demo.url, os.environ.get("MESHGLASS_PICTURES"))
