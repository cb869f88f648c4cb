"""From one recipe to a table: train every method with every seed, evaluate, probe, compare."""
