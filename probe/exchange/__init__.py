"""Read and write maps and links in the formats of other tools."""
