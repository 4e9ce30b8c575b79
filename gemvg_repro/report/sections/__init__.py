"""The tables, figures and sentences of the report, made from the numbers."""
