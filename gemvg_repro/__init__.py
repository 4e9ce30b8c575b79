"""A reproduction of GeM-VG (arXiv 2601.04777): generalised multi-image visual grounding."""
