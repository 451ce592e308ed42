"""The nets in NetSpec, and the command that writes them as prototxt."""
