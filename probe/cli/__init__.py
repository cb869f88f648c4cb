"""The commands, one thin file each. Exit codes: 0 done, 2 bad input or usage."""
