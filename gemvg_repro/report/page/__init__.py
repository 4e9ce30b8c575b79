"""How numbers, tables and figures become HTML, LaTeX and files."""
