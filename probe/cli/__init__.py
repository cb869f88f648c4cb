"""The commands, one thin file each. Exit codes: 0 done, 1 a check found something, 2 bad input or usage."""
