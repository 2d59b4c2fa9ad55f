"""``python -m engine``: everything that has no business in a browser."""

from engine.runtime.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
