"""Run functions of one test module, on CPython or MicroPython: unit_runner.py MODULE NAME...

Around each function a line `@run NAME`, then what it prints, then its verdict:
`@ok NAME`, `@skip NAME REASON` or `@fail NAME`, a traceback before it.
"""

import sys


def print_traceback(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, sys.stdout)
    else:
        import traceback

        traceback.print_exception(error, file=sys.stdout)


def run(module, name):
    print("@run", name)
    try:
        getattr(module, name)()
    except Exception as error:
        if type(error).__name__ == "Skip":
            print("@skip", name, error)
            return
        print_traceback(error)
        print("@fail", name)
        return
    print("@ok", name)


def main(module_name, *names):
    module = __import__(module_name)
    for name in names:
        run(module, name)


main(*sys.argv[1:])
