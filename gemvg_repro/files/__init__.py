"""Reading, checking and writing of files that every other package uses."""
