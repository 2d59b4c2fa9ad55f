"""The command line: what each command takes is in ``arguments``, what it does in a module named after it."""
